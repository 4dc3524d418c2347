use sqlx::Connection;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::permission::{
    OwnAccount, UsersCreate, UsersDelete, UsersList, UsersRead, UsersUpdate,
};
use tenantry_tenantdb::users::{self, Change, New, UserError};
use tenantry_types::{ErrorKind, UserId};

use crate::server::{Databases, ask, execute};
use crate::tenant::{HASH, Tenant, email, hash, new, owned};

pub async fn come_in_pages_in_the_order_they_were_added(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let mut added = vec![tenant.admin.user_id];
    for name in ["zoe", "bob", "mia", "cid"] {
        tenant.clock.advance(chrono::Duration::milliseconds(2));
        added.push(
            tenant
                .person(&format!("{name}@acme.example"), &["Viewer"])
                .await,
        );
    }
    let granted = tenant.admin.grants.require::<UsersList>().unwrap();
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (page, next) = users::page(&mut tenant.conn, &granted, 2, after)
            .await
            .unwrap();
        seen.extend(page.iter().map(|user| user.id));
        pages += 1;
        match next {
            Some(_) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, added);
    assert_eq!(pages, 3);
    // A last page that is full says that it is the last.
    let (page, next) = users::page(&mut tenant.conn, &granted, 5, None)
        .await
        .unwrap();
    assert_eq!((page.len(), next), (5, None));
    assert_eq!(page[1].email, "zoe@acme.example");
    assert_eq!(page[1].roles, ["Viewer"]);
}

pub async fn have_addresses_of_their_own(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let grants = tenant.admin.grants.clone();
    let (clock, entropy) = (tenant.clock.clone(), tenant.entropy.clone());

    let mut tx = tenant.conn.begin().await.unwrap();
    let create = grants.require::<UsersCreate>().unwrap();
    let taken = users::insert(
        &mut tx,
        &create,
        new("Ann@ACME.example", &[]),
        &clock,
        &entropy,
    );
    let taken = taken.await.unwrap_err();
    assert!(matches!(taken, UserError::EmailTaken), "{taken:?}");
    assert_eq!(
        (taken.kind(), taken.code()),
        (ErrorKind::Conflict, "EMAIL_TAKEN")
    );
    tx.rollback().await.unwrap();

    let mut tx = tenant.conn.begin().await.unwrap();
    let update = grants.require::<UsersUpdate>().unwrap();
    let change = Change {
        email: Some(email("ann@acme.example")),
        ..Change::default()
    };
    let taken = users::update(&mut tx, &update, bob, change, &clock).await;
    assert!(matches!(taken, Err(UserError::EmailTaken)));
}

pub async fn are_given_only_roles_that_exist(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let create = tenant.admin.grants.require::<UsersCreate>().unwrap();
    let mut tx = tenant.conn.begin().await.unwrap();
    let wanted = new("bob@acme.example", &["Viewer", "Boss", "admin"]);
    let refused = users::insert(&mut tx, &create, wanted, &tenant.clock, &tenant.entropy)
        .await
        .unwrap_err();
    let UserError::UnknownRoles(names) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(names, &["Boss", "admin"]);
    assert_eq!(refused.to_string(), "there is no role Boss, admin");
    // Named twice is given once.
    let wanted = new("bob@acme.example", &["Viewer", "Viewer"]);
    let bob = users::insert(&mut tx, &create, wanted, &tenant.clock, &tenant.entropy);
    assert_eq!(bob.await.unwrap().roles, ["Viewer"]);
}

pub async fn keep_what_a_change_leaves_out(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let grants = tenant.admin.grants.clone();
    let clock = tenant.clock.clone();
    let mut tx = tenant.conn.begin().await.unwrap();
    let bob = New {
        name: "Bob".to_owned(),
        password_hash: Some(hash()),
        ..new("bob@acme.example", &["Viewer", "Editor"])
    };
    let create = grants.require::<UsersCreate>().unwrap();
    let bob = users::insert(&mut tx, &create, bob, &clock, &tenant.entropy)
        .await
        .unwrap();

    clock.advance(chrono::Duration::seconds(5));
    let update = grants.require::<UsersUpdate>().unwrap();
    let nothing = users::update(&mut tx, &update, bob.id, Change::default(), &clock);
    let unchanged = nothing.await.unwrap().unwrap();
    assert!(unchanged.updated_at > bob.updated_at);
    assert_eq!(
        users::User {
            updated_at: bob.updated_at,
            ..unchanged
        },
        bob
    );
    let stored: String = ask(
        &mut tx,
        "SELECT password_hash FROM tenantry.users WHERE name = 'Bob'",
    )
    .await;
    assert_eq!(stored, HASH);

    let change = Change {
        email: Some(email("rob@acme.example")),
        name: Some(String::new()),
        is_active: Some(false),
        roles: Some(owned(&["Editor", "Admin"])),
        password_hash: None,
    };
    let changed = users::update(&mut tx, &update, bob.id, change, &clock)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(changed.email, "rob@acme.example");
    assert_eq!((changed.name.as_str(), changed.is_active), ("", false));
    assert_eq!(changed.roles, ["Admin", "Editor"]);
    tx.commit().await.unwrap();

    let read = grants.require::<UsersRead>().unwrap();
    let stored = users::get(&mut tenant.conn, &read, bob.id).await.unwrap();
    assert_eq!(stored, Some(changed));
    let own = grants.require::<OwnAccount>().unwrap();
    let ann = users::own(&mut tenant.conn, &own).await.unwrap().unwrap();
    assert_eq!(ann.email, "ann@acme.example");
}

pub async fn are_changed_in_a_transaction_only(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let grants = tenant.admin.grants.clone();
    let id = tenant.admin.user_id;
    let refused = |error: UserError| {
        assert!(
            matches!(error, UserError::Db(TenantDbError::Transaction(_))),
            "{error:?}"
        );
    };
    let create = grants.require::<UsersCreate>().unwrap();
    let bob = new("bob@acme.example", &[]);
    let inserted = users::insert(
        &mut tenant.conn,
        &create,
        bob,
        &tenant.clock,
        &tenant.entropy,
    );
    refused(inserted.await.unwrap_err());
    let update = grants.require::<UsersUpdate>().unwrap();
    let updated = users::update(
        &mut tenant.conn,
        &update,
        id,
        Change::default(),
        &tenant.clock,
    );
    refused(updated.await.unwrap_err());
    let delete = grants.require::<UsersDelete>().unwrap();
    refused(
        users::remove(&mut tenant.conn, &delete, id)
            .await
            .unwrap_err(),
    );

    let mut tx = tenant.conn.begin().await.unwrap();
    let nobody = UserId::generate(&tenant.clock, &tenant.entropy);
    let updated = users::update(&mut tx, &update, nobody, Change::default(), &tenant.clock);
    assert!(updated.await.unwrap().is_none());
    assert!(!users::remove(&mut tx, &delete, nobody).await.unwrap());
}

pub async fn that_sign_in_are_found_by_address(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let conn = &mut tenant.conn;
    let found = users::credentials_by_email(conn, &email("ANN@acme.example"))
        .await
        .unwrap();
    assert_eq!(found, Some((tenant.admin.user_id, Some(hash()), true)));
    let found = users::credentials_by_email(conn, &email("bob@acme.example"))
        .await
        .unwrap();
    assert_eq!(found, None);

    for planted in [
        "'plain'",
        "'$argon2id$v=19$m=4194304,t=9,p=1$c2FsdHNhbHQ$AAAA'",
        "NULL",
    ] {
        execute(
            conn,
            format!("UPDATE tenantry.users SET password_hash = {planted}"),
        )
        .await;
        let found = users::credentials_by_email(conn, &email("ann@acme.example"))
            .await
            .unwrap();
        assert_eq!(found, Some((tenant.admin.user_id, None, true)), "{planted}");
    }
}

pub async fn lose_their_sessions_with_password_activity_or_account(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let clock = tenant.clock.clone();
    let update = tenant.admin.grants.require::<UsersUpdate>().unwrap();
    let delete = tenant.admin.grants.require::<UsersDelete>().unwrap();
    let bob = tenant.person("bob@acme.example", &["Viewer"]).await;

    let password = Change {
        password_hash: Some(hash()),
        ..Change::default()
    };
    let inactive = Change {
        is_active: Some(false),
        ..Change::default()
    };
    for (change, reason) in [(password, "password-changed"), (inactive, "deactivated")] {
        let (phone, laptop) = (tenant.sign_in(bob).await.0, tenant.sign_in(bob).await.0);
        // A change that is taken back ends nothing.
        let mut tx = tenant.conn.begin().await.unwrap();
        users::update(&mut tx, &update, bob, change.clone(), &clock)
            .await
            .unwrap();
        tx.rollback().await.unwrap();
        assert!(tenant.load(&phone).await.is_some());

        let mut tx = tenant.conn.begin().await.unwrap();
        users::update(&mut tx, &update, bob, change, &clock)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        execute(
            &mut tenant.conn,
            "UPDATE tenantry.users SET is_active = true",
        )
        .await;
        assert!(tenant.load(&phone).await.is_none(), "{reason}");
        assert!(tenant.load(&laptop).await.is_none(), "{reason}");
        let ended = format!("SELECT count(*) FROM tenantry.sessions WHERE end_reason = '{reason}'");
        assert_eq!(ask::<i64>(&mut tenant.conn, &ended).await, 2);
    }

    let phone = tenant.sign_in(bob).await.0;
    let renamed = Change {
        name: Some("Bob".to_owned()),
        ..Change::default()
    };
    let mut tx = tenant.conn.begin().await.unwrap();
    users::update(&mut tx, &update, bob, renamed, &clock)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(tenant.load(&phone).await.is_some(), "a name ends nothing");

    let mut tx = tenant.conn.begin().await.unwrap();
    assert!(users::remove(&mut tx, &delete, bob).await.unwrap());
    tx.commit().await.unwrap();
    assert!(tenant.load(&phone).await.is_none());
    let others: i64 = ask(
        &mut tenant.conn,
        "SELECT count(*) FROM tenantry.sessions WHERE ended_at IS NULL",
    )
    .await;
    assert_eq!(others, 1, "only the admin's is left");
}

pub async fn have_addresses_that_are_read_in_pages(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    for n in 0..4 {
        tenant.person(&format!("p{n}@acme.example"), &[]).await;
    }
    // A product wrote it: in lower case, as the table asks, and no address that is asked for.
    let odd = "UPDATE tenantry.users SET email = ' p3@acme.example' WHERE email LIKE 'p3@%'";
    execute(&mut tenant.conn, odd).await;
    let (mut read, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (page, next) = users::addresses(&mut tenant.conn, 2, after).await.unwrap();
        read.extend(page.iter().map(ToString::to_string));
        pages += 1;
        match next {
            Some(id) => after = Some(id),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    read.sort();
    assert_eq!(
        read,
        [
            "ann@acme.example",
            "p0@acme.example",
            "p1@acme.example",
            "p2@acme.example"
        ]
    );
}
