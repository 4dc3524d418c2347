//! What a person at a terminal sees, on a real pseudo terminal.

use tenantry_testkit::{Dev, Options, shared, unique};

const GREEN: &str = "\u{1b}[32m";

#[tokio::test]
async fn a_table_fits_the_terminal_and_is_whole_in_a_pipe() {
    let dev = shared();
    let plain = [("NO_COLOR", "1")];
    let slug = unique("wide");
    let name = "A name that goes on and on ".repeat(7);
    dev.cli(&["tenants", "create", &slug, "--name", name.trim()])
        .expect(0);
    let list = ["tenants", "list", "--search", &slug];
    for columns in [100, 120] {
        let seen = dev.terminal(&list, columns, &plain).end();
        assert_eq!(seen.code, 0, "{seen}");
        let lines: Vec<_> = seen.screen.lines().collect();
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() <= usize::from(columns)),
            "{seen}"
        );
        assert!(
            seen.screen.contains('…') && seen.screen.contains(&slug),
            "{seen}"
        );
    }
    let narrow = dev.terminal(&list, 40, &plain).end();
    assert!(
        narrow.screen.contains(&format!("SLUG    {slug}")),
        "{narrow}"
    );
    let piped = dev.cli(&list).expect(0);
    assert!(
        piped.stdout.contains(name.trim()) && !piped.stdout.contains('…'),
        "{piped}"
    );
    // Times are told from now to a person only.
    let shown = dev.terminal(&["tenants", "show", &slug], 100, &plain).end();
    assert!(
        shown.screen.contains(" ago (20") || shown.screen.contains("just now (20"),
        "{shown}"
    );
    assert!(!dev.cli(&["tenants", "show", &slug]).stdout.contains(" ago"));
}

#[tokio::test]
async fn colours_are_for_a_terminal_that_takes_them() {
    let dev = shared();
    let acme = dev.tenant("colour").await;
    let show = ["tenants", "show", acme.slug.as_str()];
    let coloured = |arguments: &[&str], env: &[(&str, &str)]| {
        let seen = dev.terminal(arguments, 100, env).end();
        assert_eq!(seen.code, 0, "{seen}");
        seen.screen.contains(GREEN)
    };
    assert!(coloured(&show, &[]));
    assert!(!coloured(&show, &[("NO_COLOR", "1")]));
    assert!(!coloured(&show, &[("TERM", "dumb")]));
    assert!(!coloured(&[&show[..], &["--color", "never"]].concat(), &[]));
    assert!(coloured(
        &[&show[..], &["--color", "always"]].concat(),
        &[("NO_COLOR", "1")]
    ));
    assert!(!coloured(&[&show[..], &["--output", "json"]].concat(), &[]));
    let env = [("NO_COLOR", ""), ("CLICOLOR_FORCE", "1")];
    let data = dev.data().display().to_string();
    let forced = dev.cli_elsewhere(&[&show[..], &["--data", &data]].concat(), &env);
    assert!(forced.expect(0).stdout.contains(GREEN));
    assert!(!dev.cli(&show).stdout.contains('\u{1b}'));
}

#[tokio::test]
async fn a_customers_name_steers_nobodys_terminal() {
    let dev = Dev::start();
    let acme = dev.tenant("evil").await;
    let pg = dev.pg();
    // As a customer could have chosen it: erase the screen, a C1 sequence, turn the text round.
    pg.run(
        &pg.catalog,
        "UPDATE tenants SET name = E'a\\x1b[2Jb\\u009b31mc\\u202ed\\r\\ne'",
    )
    .await;
    for arguments in [
        &["tenants", "list"][..],
        &["tenants", "show", &acme.slug],
        &["tenants", "list", "--output", "json"],
    ] {
        let seen = dev.terminal(arguments, 200, &[("NO_COLOR", "1")]).end();
        assert_eq!(seen.code, 0, "{seen}");
        for bad in ["\u{1b}[2J", "\u{9b}", "\u{202e}"] {
            assert!(!seen.screen.contains(bad), "{arguments:?}: {seen}");
        }
        assert!(seen.screen.contains("202e"), "it is shown: {seen}");
    }
    let json = dev
        .cli(&["tenants", "show", &acme.slug, "--output", "json"])
        .json();
    assert_eq!(json["name"], "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\r\ne");
    // What a person types themselves comes back in errors.
    let refused = dev
        .terminal(
            &["tenants", "show", "x\u{1b}[2J"],
            100,
            &[("NO_COLOR", "1")],
        )
        .end();
    assert!(
        refused.code != 0 && !refused.screen.contains("\u{1b}[2J"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_destroys_asks_first() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let slug = acme.slug.as_str();
    let status = async || {
        let shown = dev.operator().get(&format!("/setup/tenants/{slug}")).await;
        shown.json()["status"].as_str().unwrap_or("gone").to_owned()
    };
    let answer = |arguments: &[&str], question: &str, answer: &str| {
        let mut terminal = dev.terminal(arguments, 100, &[]);
        terminal.wait_for(question);
        terminal.type_line(answer);
        terminal.end()
    };
    let no = answer(&["tenants", "delete", slug], "[y/N]", "");
    assert!(
        no.code == 1 && no.screen.contains("nothing was changed"),
        "{no}"
    );
    let not_typed = answer(&["tenants", "delete", slug, "--purge"], "for ever", "y");
    assert_eq!(
        (not_typed.code, status().await.as_str()),
        (1, "active"),
        "{not_typed}"
    );
    let yes = answer(&["tenants", "delete", slug], "[y/N]", "y");
    assert_eq!(yes.code, 0, "{yes}");
    assert!(yes.screen.contains("will be purged in "), "{yes}");
    assert_eq!(status().await, "deleting");
    let purged = answer(&["tenants", "delete", slug, "--purge"], "for ever", slug);
    assert_eq!(
        (purged.code, status().await.as_str()),
        (0, "gone"),
        "{purged}"
    );

    dev.cli(&["operators", "create", "bot"]).expect(0);
    let unasked = dev.cli(&["operators", "revoke", "bot"]).expect(2);
    assert!(unasked.stderr.contains("--yes"), "{unasked}");
    let own = answer(
        &["operators", "revoke", "dev"],
        "which is the one you are using",
        "y",
    );
    assert_eq!(own.code, 1, "{own}");
    let other = answer(&["operators", "revoke", "bot"], "[y/N]", "yes");
    assert_eq!(other.code, 0, "{other}");
    dev.operator().get("/setup/operators").await.expect(200);
}

#[tokio::test]
async fn ctrl_c_leaves_the_terminal_in_order_and_says_how_to_follow() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "0"));
    let (held, _) = (dev.tenant("held").await, dev.tenant("free").await);
    let mut holder = dev.pg().enter(&held.db_name).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE tenantry.migrations")
        .execute(&mut holder)
        .await
        .expect("locked");
    let terminal = dev.terminal(&["migrate-all"], 100, &[]);
    terminal.wait_for("1/2 databases");
    terminal.interrupt();
    let seen = terminal.end();
    assert_eq!(seen.code, 130, "{seen}");
    // The bar's line was erased last, and the cursor was never hidden without being shown.
    let after = seen.screen.rsplit("databases").next().unwrap_or_default();
    assert!(
        after.contains("\u{1b}[2K") || after.contains("\u{1b}[K"),
        "{seen}"
    );
    assert_eq!(
        seen.screen.matches("\u{1b}[?25l").count(),
        seen.screen.matches("\u{1b}[?25h").count(),
        "{seen}"
    );
    let (_, command) = seen
        .screen
        .rsplit_once("`tenantry ")
        .expect("a command to follow it");
    let command = command.split('`').next().expect("its end");
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .expect("let go");
    let followed = dev.cli(&command.split(' ').collect::<Vec<_>>()).expect(0);
    assert!(followed.stdout.contains("done"), "{followed}");
}

#[tokio::test]
async fn without_a_terminal_there_are_plain_lines() {
    let dev = shared();
    dev.tenant("plain").await;
    let told = dev.cli(&["migrate-all"]);
    assert!(
        told.stderr
            .starts_with("Migrating all databases, operation "),
        "{told}"
    );
    assert!(
        !told.stderr.contains('\u{1b}') && !told.stderr.contains('\r'),
        "{told}"
    );
    let json = dev.cli(&["migrate-all", "--output", "json"]);
    assert!(!json.stderr.contains("Migrating"), "{json}");
}
