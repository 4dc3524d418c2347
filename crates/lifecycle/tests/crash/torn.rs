//! What a crash leaves half done within a step, and what it takes of the journal's last lines, which
//! do not wait for the disk.

use tenantry_lifecycle::Finished;
use tenantry_types::OperationId;

use crate::world::{World, asker, ended, wanted};

/// How many operations wait for another driver.
pub(crate) const ABANDONED: &str = "SELECT count(*) FROM operations
    WHERE status = 'running' AND lease_until < clock_timestamp()";

/// The step `clone` does two things side by side, and so does `seed`. Of either one half can be there
/// without the other.
///
/// Seen to fail with a driver that takes the journal's word for the logins, and with one that writes no
/// identity into a database that it did not make itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_which_one_half_is_missing_is_done_whole() {
    let world = World::new().await;
    for (at, half) in [
        ("clone:after-effect", "database"),
        ("clone:after-effect", "logins"),
        // The cluster's server crashed, too: the journal says that they are there.
        ("clone:after-record", "recorded-logins"),
        ("seed:after-effect", "identity"),
    ] {
        let operation = left(&world, at, half).await;
        let database = database_of(&world, operation).await;
        match half {
            "database" => {
                let drop = format!("DROP DATABASE {database}");
                execute(&world, "postgres", &drop).await;
                forget(&world, operation, "clone").await;
            }
            "logins" | "recorded-logins" => {
                let logins = format!("{database}_owner, {database}_router, {database}_user");
                execute(&world, "postgres", &format!("DROP ROLE {logins}")).await;
            }
            _ => {
                // As it was cloned: the template's, with an epoch that no tenant has.
                let template = "UPDATE tenantry_self.identity SET epoch = 0, database_id =
                    (SELECT substr(datname, 14)::uuid FROM pg_database
                     WHERE datname LIKE 'tnt\\_template\\_%')";
                execute(&world, &database, template).await;
            }
        }
        finished(&world, operation, half).await;
    }
    assert_eq!(unfinished(&world).await, 0);
    world.end().await;
}

/// The catalog's server lost all that did not wait for its disk, and the cluster's did not: the
/// database has the tenant's name, and perhaps its rows, and the journal says that it was cloned.
///
/// Seen to fail with a driver that looks for the database under its first name only: it made a second
/// one, and the tenant got another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_its_last_lines_leads_to_the_same_database() {
    let world = World::new().await;
    for step in ["claim", "seed"] {
        for begun in ["reserve", "clone", "claim"] {
            let slug = format!("{step}-{begun}");
            let operation = left(&world, &format!("{step}:after-effect"), &slug).await;
            forget(&world, operation, begun).await;
            for lost in [
                "UPDATE logins l SET name = 'tnt_new_' || replace(d.id::text, '-', '') || '_' || role
                 FROM databases d WHERE d.id = database_id AND d.operation_id = '{operation}'",
                "UPDATE databases SET state = 'making', tenant_id = NULL,
                   name = 'tnt_new_' || replace(id::text, '-', '')
                 WHERE operation_id = '{operation}'",
            ] {
                let sql = lost.replace("{operation}", &operation.to_string());
                execute(&world, "catalog", &sql).await;
            }
            finished(&world, operation, &slug).await;
            let tenant = world.tenant(&slug).await.expect("a tenant");
            let name = format!("tenant_{}", slug.replace('-', "_"));
            assert_eq!(tenant.db_name.expect("a database").as_str(), name);
        }
    }
    assert_eq!(unfinished(&world).await, 0);
    let everything = world.everything().await;
    let of_tenants = everything
        .databases
        .iter()
        .filter(|name| name.starts_with("tenant_"));
    assert_eq!(of_tenants.count(), 6);
    world.end().await;
}

/// A creation whose driver left at this point, and whose lease has ended.
async fn left(world: &World, at: &str, slug: &str) -> OperationId {
    let fault = format!("create/{at}=leave");
    let (gone, _router) = world.driver(Some(&fault)).await;
    let started = gone
        .create(wanted(slug), asker(), None)
        .await
        .expect("a beginning");
    world.counted(ABANDONED, 1).await;
    started.operation_id
}

/// Another driver takes it up, and the tenant can be used.
async fn finished(world: &World, operation: OperationId, slug: &str) {
    let (next, router) = world.driver(None).await;
    next.start_workers();
    let end = ended(&next, operation).await;
    assert!(matches!(end, Finished::Done), "{slug}: {end:?}");
    crate::assert_one_seed(&router, slug).await;
    next.shutdown().await;
}

/// The journal ends with the line that says that this step is begun.
async fn forget(world: &World, operation: OperationId, begun: &str) {
    for lost in [
        "DELETE FROM operation_steps WHERE operation_id = '{operation}' AND seq >
           (SELECT seq FROM operation_steps WHERE operation_id = '{operation}'
            AND step = '{begun}' AND event = 'started')",
        "UPDATE operations o SET steps = (SELECT max(seq) FROM operation_steps s
           WHERE s.operation_id = o.id) WHERE id = '{operation}'",
    ] {
        let sql = lost
            .replace("{operation}", &operation.to_string())
            .replace("{begun}", begun);
        execute(world, "catalog", &sql).await;
    }
}

/// The database of an operation.
async fn database_of(world: &World, operation: OperationId) -> String {
    sqlx::query_scalar("SELECT name FROM databases WHERE operation_id = $1")
        .bind(operation.as_uuid())
        .fetch_one(&mut world.superuser("catalog").await)
        .await
        .expect("a database")
}

async fn unfinished(world: &World) -> usize {
    let everything = world.everything().await;
    let names = everything.databases.iter().chain(&everything.roles);
    names.filter(|name| name.starts_with("tnt_new_")).count()
}

async fn execute(world: &World, database: &str, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&mut world.superuser(database).await)
        .await
        .expect(sql);
}
