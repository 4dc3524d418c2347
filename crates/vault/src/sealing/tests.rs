use tenantry_types::Clock;

use super::*;
use crate::Keyring;

struct World {
    entropy: Entropy,
    keys: Keyring,
    place: Place<'static>,
    secret: Secret,
}

fn world() -> World {
    let entropy = Entropy::system();
    let database = DatabaseId::generate(&Clock::system(), &entropy);
    World {
        keys: Keyring::generate(&entropy),
        place: Place::login(database, "router"),
        secret: Secret::new("a password with ünïcode"),
        entropy,
    }
}

#[test]
fn what_was_sealed_opens_in_its_place() {
    let w = world();
    let sealed = w
        .keys
        .route()
        .seal(&w.entropy, &w.place, &w.secret)
        .expect("sealed");
    assert_eq!(sealed.key_id, "k1");
    assert_eq!(sealed.bytes.len(), 12 + w.secret.expose().len() + 16);
    assert_eq!(w.keys.route().open(&w.place, &sealed), Ok(w.secret));
}

#[test]
fn two_seals_of_one_secret_are_not_alike() {
    let w = world();
    let seal = || {
        w.keys
            .route()
            .seal(&w.entropy, &w.place, &w.secret)
            .expect("sealed")
    };
    let (a, b) = (seal(), seal());
    assert_ne!(a.bytes[..12], b.bytes[..12]);
    assert_ne!(a.bytes[12..], b.bytes[12..]);
}

#[test]
fn moved_to_another_table_row_or_column_it_does_not_open() {
    let w = world();
    let sealed = w
        .keys
        .route()
        .seal(&w.entropy, &w.place, &w.secret)
        .expect("sealed");
    let other = DatabaseId::generate(&Clock::system(), &w.entropy);
    let moved = [
        Place {
            table: "clusters",
            ..w.place.clone()
        },
        Place {
            column: "admin_sealed",
            ..w.place.clone()
        },
        Place {
            row: format!("{}x", w.place.row),
            ..w.place.clone()
        },
        Place::login(other, "router"),
        // The parts may not run into one another.
        Place {
            table: "login",
            row: format!("s{}", w.place.row),
            ..w.place.clone()
        },
    ];
    for place in moved {
        let opened = w.keys.route().open(&place, &sealed);
        assert!(
            matches!(opened, Err(OpenError::Damaged { .. })),
            "{place:?}"
        );
    }
}

#[test]
fn sealed_for_one_purpose_it_does_not_open_for_another_even_under_the_same_key() {
    let w = world();
    let key = || (KeyId::parse("k1").expect("an id"), Zeroizing::new([7; 32]));
    let route = RouteKeys::new(SealingKeys::new(Purpose::Route, key(), vec![]));
    let admin = AdminKeys::new(SealingKeys::new(Purpose::Admin, key(), vec![]));
    let sealed = route.seal(&w.entropy, &w.place, &w.secret).expect("sealed");
    assert!(matches!(
        admin.open(&w.place, &sealed),
        Err(OpenError::Damaged { .. })
    ));
    assert_eq!(route.open(&w.place, &sealed), Ok(w.secret));
}

#[test]
fn a_changed_or_cut_value_does_not_open() {
    let w = world();
    let keys = w.keys.route();
    let sealed = keys.seal(&w.entropy, &w.place, &w.secret).expect("sealed");
    for at in [0, 12, sealed.bytes.len() - 1] {
        let mut changed = sealed.clone();
        changed.bytes[at] ^= 1;
        assert!(keys.open(&w.place, &changed).is_err(), "byte {at}");
    }
    for length in [0, 11, 12, 27, sealed.bytes.len() - 1] {
        let mut cut = sealed.clone();
        cut.bytes.truncate(length);
        assert!(keys.open(&w.place, &cut).is_err(), "{length} bytes");
    }
}

#[test]
fn an_older_key_still_opens_and_an_unknown_one_is_named() {
    let w = world();
    let key = |id, byte| (KeyId::parse(id).expect("an id"), Zeroizing::new([byte; 32]));
    let before = RouteKeys::new(SealingKeys::new(Purpose::Route, key("old", 1), vec![]));
    let sealed = before
        .seal(&w.entropy, &w.place, &w.secret)
        .expect("sealed");
    let rotated = SealingKeys::new(Purpose::Route, key("new", 2), vec![key("old", 1)]);
    let rotated = RouteKeys::new(rotated);
    assert_eq!(rotated.open(&w.place, &sealed), Ok(w.secret.clone()));
    let fresh = rotated
        .seal(&w.entropy, &w.place, &w.secret)
        .expect("sealed");
    assert_eq!(fresh.key_id, "new");
    assert_eq!(
        before.open(&w.place, &fresh),
        Err(OpenError::UnknownKey {
            purpose: Purpose::Route,
            key_id: "new".to_owned()
        })
    );
}

#[test]
fn debug_of_a_sealed_value_shows_no_bytes() {
    let sealed = Sealed {
        key_id: "k1".to_owned(),
        bytes: vec![0xAB; 40],
    };
    assert_eq!(format!("{sealed:?}"), "Sealed(k1, 40 bytes)");
}
