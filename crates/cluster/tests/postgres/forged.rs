//! What somebody writes who owns another database on the same server: marks, identities and notes count only where
//! the admin is the owner.

use tenantry_cluster::{ClusterError, Mark, identity, inventory, note, preflight, repair};

use crate::world::{World, db, sql};

crate::tests! {
    what_the_owner_of_another_database_claims_is_not_believed,
}

/// A database of somebody whom the admin is a member of, as adoptions ask for, with all that ours have.
///
/// Tried with membership being enough, as it was: every line fails.
async fn what_the_owner_of_another_database_claims_is_not_believed(world: World) {
    let number = world.number();
    let (name, owner) = (db(&format!("forged_{number}")), format!("forger_{number}"));
    let mark = world.mark();
    let mut superuser = world.superuser("postgres").await;
    for text in [
        format!("CREATE ROLE {owner} LOGIN PASSWORD 'forger'"),
        format!("GRANT {owner} TO tenantry_admin"),
        format!("CREATE DATABASE {name} OWNER {owner}"),
        format!("COMMENT ON DATABASE {name} IS '{mark}'"),
    ] {
        sql(&mut superuser, &text).await.expect("prepared");
    }
    let mut forger = world
        .open(name.as_str(), &owner, "forger")
        .await
        .expect("its own");
    let (installation, database) = (mark.installation, mark.database);
    sql(
        &mut forger,
        &format!(
            "CREATE SCHEMA tenantry_self;
             CREATE TABLE tenantry_self.identity (is_only boolean PRIMARY KEY, installation uuid NOT NULL,
                                                  database_id uuid NOT NULL, epoch bigint NOT NULL);
             INSERT INTO tenantry_self.identity VALUES (true, '{installation}', '{database}', 1);
             COMMENT ON SCHEMA tenantry_self IS 'forged'"
        ),
    )
    .await
    .expect("forged");

    let mut conn = world.conn().await;
    let seen = inventory::read(&mut conn, installation)
        .await
        .expect("read");
    let seen = seen.databases.iter().find(|one| one.name == name.as_str());
    assert!(!seen.expect("listed").own);
    let marks = preflight::check(&mut conn)
        .await
        .expect("checked")
        .own_marks;
    assert!(!marks.contains(&mark), "{marks:?}");
    let mut inside = world.admin.enter(&name, "test").await.expect("inside");
    assert!(identity::read(&mut inside).await.expect("asked").is_none());
    assert!(note::read(&mut inside).await.expect("asked").is_none());
    let written = note::write(&mut inside, "ours").await;
    assert!(
        matches!(written, Err(ClusterError::NotOurs(_))),
        "{written:?}"
    );
    let again = repair::mark_again(&mut conn, &name, &Mark::new(installation, database)).await;
    assert!(matches!(again, Err(ClusterError::NotOurs(_))), "{again:?}");
    drop((inside, forger));
    sql(
        &mut superuser,
        &format!("DROP DATABASE {name} WITH (FORCE)"),
    )
    .await
    .expect("dropped");
}
