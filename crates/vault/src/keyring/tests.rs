use tenantry_types::{Clock, ClusterId};

use super::*;
use crate::Place;

const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const B: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
const C: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
const D: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM";
const E: &str = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";

fn parse(text: &str) -> Result<Keyring, KeyError> {
    Keyring::parse(&Secret::new(text))
}

#[test]
fn a_new_keyring_survives_its_setting() {
    let made = Keyring::generate(&Entropy::system());
    let read = Keyring::parse(&made.to_setting()).expect("our own setting");
    assert_eq!(read.to_setting(), made.to_setting());
    assert_eq!(
        read.signing().active().public(),
        made.signing().active().public()
    );
    let other = Keyring::generate(&Entropy::system());
    assert_ne!(other.to_setting(), made.to_setting());
}

#[test]
fn the_first_key_of_a_purpose_is_the_active_one() {
    let keys = parse(&format!(
        "signing:new:{A}, signing:old:{B}, route:r:{C},admin:a:{D},directory:d:{E}"
    ))
    .expect("a keyring");
    assert_eq!(keys.signing().active().kid(), "new");
    let all = keys.signing();
    let kids: Vec<_> = all.all().iter().map(crate::SigningKey::kid).collect();
    assert_eq!(kids, ["new", "old"]);
}

#[test]
fn an_error_names_the_part_and_never_shows_it() {
    let good = format!("route:k1:{A}");
    let cases = [
        (String::new(), KeyError::Shape(1)),
        (format!("route:{A}"), KeyError::Shape(1)),
        (format!("{good},"), KeyError::Shape(2)),
        (format!("{good},admin:k1:{B}:x"), KeyError::Shape(2)),
        (format!("{good},{B}:k1:admin"), KeyError::Purpose(2)),
        (format!("{good},Admin:k1:{B}"), KeyError::Purpose(2)),
        (format!("{good},admin::{B}"), KeyError::Id(2)),
        (format!("{good},admin:{B}:k1"), KeyError::Id(2)),
        (format!("{good},admin:k1:{}", &B[1..]), KeyError::Key(2)),
        (format!("{good},admin:k1:{B}="), KeyError::Key(2)),
        (format!("{good},admin:k1:{B}AA"), KeyError::Key(2)),
        (
            format!("{good},admin:k1:{B},route:k1:{C}"),
            KeyError::DuplicateId(3, Purpose::Route),
        ),
        (format!("{good},admin:k1:{A}"), KeyError::DuplicateKey(2)),
        (
            format!("{good},directory:k1:{B},directory:k2:{C}"),
            KeyError::SecondDirectoryKey(3),
        ),
        (
            format!("{good},admin:k1:{B},directory:k1:{C}"),
            KeyError::Missing(Purpose::Signing),
        ),
    ];
    for (setting, expected) in cases {
        let error = parse(&setting).expect_err("a wrong setting");
        assert_eq!(error, expected);
        let shown = format!("{error} {error:?}");
        for key in [A, B, C] {
            assert!(!shown.contains(&key[1..]), "{shown}");
        }
    }
}

/// Tried by printing all entries in `route_setting`: the first assertion fails; and by dropping the
/// check in `RouteKeys::parse`: the last loop fails.
#[test]
fn a_router_is_given_route_keys_and_nothing_of_the_others() {
    let all = format!("route:r2:{A},admin:a:{B},route:r1:{C},directory:d:{D},signing:s:{E}");
    let keys = parse(&all).expect("a keyring");
    let given = keys.route_setting();
    assert_eq!(given.expose(), format!("route:r2:{A},route:r1:{C}"));

    let router = RouteKeys::parse(&given).expect("a router's keys");
    let entropy = Entropy::system();
    let place = Place::cluster_admin(ClusterId::generate(&Clock::system(), &entropy));
    let secret = Secret::new("open me");
    let routes = keys
        .route()
        .seal(&entropy, &place, &secret)
        .expect("sealed");
    assert_eq!(router.open(&place, &routes).expect("opened"), secret);
    let admins = keys
        .admin()
        .seal(&entropy, &place, &secret)
        .expect("sealed");
    router.open(&place, &admins).expect_err("another purpose");

    for (more, purpose) in [
        (format!("admin:k1:{B}"), Purpose::Admin),
        (format!("directory:k1:{B}"), Purpose::Directory),
        (format!("signing:k1:{B}"), Purpose::Signing),
    ] {
        let refused = RouteKeys::parse(&Secret::new(format!("route:k1:{A},{more}")));
        assert_eq!(
            refused.expect_err("too many"),
            KeyError::NotForRouters(2, purpose)
        );
    }
    let none = RouteKeys::parse(&Secret::new(""));
    assert_eq!(none.expect_err("none"), KeyError::Shape(1));
}

#[test]
fn debug_of_everything_that_holds_a_key_is_masked() {
    let keys = parse(&format!(
        "route:r:{B},admin:a:{C},directory:d:{D},signing:s:{E}"
    ))
    .expect("a keyring");
    let shown = format!(
        "{keys:?} {:?} {:?} {:?} {:?} {:?}",
        keys.route(),
        keys.admin(),
        keys.directory(),
        keys.signing(),
        keys.signing().active(),
    );
    assert_eq!(
        shown,
        "Keyring([\"route:r\", \"admin:a\", \"directory:d\", \"signing:s\"]) \
         RouteKeys(r, ***) AdminKeys(a, ***) DirectoryKey(***) \
         SigningKeys([SigningKey(s, ***)]) SigningKey(s, ***)"
    );
}
