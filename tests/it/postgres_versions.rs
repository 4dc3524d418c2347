//! Creation, deletion and the fence on each Postgres that the run was given (`TENANTRY_TEST_PG_BINS`)

use std::path::Path;

use serde_json::json;
use tenantry_testkit::{Dev, Options, Tenant, World, refusal};

#[tokio::test]
async fn a_tenant_lives_and_ends_on_the_installed_postgres() {
    Box::pin(lives_and_ends_on(None)).await;
}

#[tokio::test]
async fn a_tenant_lives_and_ends_on_each_other_version() {
    let bins = std::env::var("TENANTRY_TEST_PG_BINS").unwrap_or_default();
    for bin in bins.split(':').filter(|bin| !bin.is_empty()) {
        Box::pin(lives_and_ends_on(Some(Path::new(bin)))).await;
    }
}

async fn lives_and_ends_on(bin: Option<&Path>) {
    let dev = Dev::start_with(Options {
        pg_bin: bin.map(Path::to_owned),
        ..Options::default()
    });
    let pg = dev.pg();
    let version = pg.texts("postgres", "SHOW server_version").await.concat();
    if let Some(bin) = bin {
        // It is the wanted server: its folder is named by the major.
        let major = version.split('.').next().expect("a version");
        assert!(
            bin.to_string_lossy().contains(major),
            "{version} from {}",
            bin.display()
        );
    }

    let acme = dev.tenant("acme").await;
    // One whose logins get other passwords than the product knows, and which is of no use then.
    let plotter = dev.tenant("plotter").await;
    walls_stand(&dev, &plotter, &acme).await;
    let path = format!("/setup/tenants/{}?purge=true", plotter.slug);
    dev.operator().delete(&path).await.expect(200);

    let before = World::of(&pg).await;
    let third = dev.tenant("third").await;
    let operator = dev.operator();
    let path = format!("/setup/tenants/{}", third.slug);

    operator.delete(&path).await.expect(200);
    let refused = pg
        .connect(&third.db_username, &third.db_password, &third.db_name)
        .await
        .expect_err("fenced");
    assert_eq!(
        refusal(&refused).as_deref(),
        Some("28000"),
        "{version}: {refused}"
    );
    third
        .admin
        .get("/me")
        .await
        .problem(404, "TENANT_NOT_FOUND");
    operator
        .post(&format!("{path}/undelete"), json!({}))
        .await
        .expect(200);
    third.admin.get("/me").await.expect(200);
    pg.connect(&third.db_username, &third.db_password, &third.db_name)
        .await
        .expect("open again");

    operator
        .delete(&format!("{path}?purge=true"))
        .await
        .expect(200);
    assert_eq!(
        before.difference(&World::of(&pg).await),
        [""; 0],
        "{version}"
    );
    dev.cli(&["migrate-all"]).expect(0);
    acme.admin.get("/me").await.expect(200);
}

async fn walls_stand(dev: &Dev, plotter: &Tenant, other: &Tenant) {
    let pg = dev.pg();
    for login in plotter.logins() {
        pg.set_password(&login, "known-to-the-test-0123456789")
            .await;
        for closed in [&other.db_name, &pg.catalog, "postgres", "template1"] {
            let refused = pg
                .connect(&login, "known-to-the-test-0123456789", closed)
                .await
                .expect_err("a wall");
            assert_eq!(
                refusal(&refused).as_deref(),
                Some("42501"),
                "{login} at {closed}: {refused}"
            );
        }
    }
    let mut owner = pg
        .connect(
            &plotter.owner(),
            "known-to-the-test-0123456789",
            &plotter.db_name,
        )
        .await
        .expect("the owner gets in");
    for statement in crate::isolation::plots(&plotter.db_name) {
        crate::isolation::refuses(&mut owner, &statement).await;
    }

    // Shared objects are reached from every database, also by what names no database.
    let rights = format!(
        "SELECT format('%s %s', datname, datacl) FROM pg_database WHERE datname <> '{}' ORDER BY 1",
        plotter.db_name
    );
    let before = pg.texts("postgres", &rights).await;
    for statement in [
        "DROP OWNED BY tenantry_owner CASCADE",
        "DROP OWNED BY CURRENT_USER CASCADE",
    ] {
        sqlx::raw_sql(statement)
            .execute(&mut owner)
            .await
            .expect("its own tables are its own");
    }
    assert_eq!(pg.texts("postgres", &rights).await, before);
}
