//! What `deploy/` relies on

use tenantry_testkit::shared;

/// The health check of the image, which has no other program to ask with.
#[tokio::test]
async fn a_probe_tells_whether_the_configured_listener_answers() {
    let dev = shared();
    let here = dev.address().to_string();
    for arguments in [&["probe"][..], &["probe", "--ready"]] {
        let asked = dev.cli_elsewhere(arguments, &[("TENANTRY_LISTEN", &here)]);
        assert_eq!(asked.clone().expect(0).stdout, "ok\n", "{asked}");
    }
    let nobody = dev.cli_elsewhere(&["probe"], &[("TENANTRY_LISTEN", "127.0.0.1:1")]);
    assert!(
        nobody.stderr.contains("no answer from 127.0.0.1:1"),
        "{nobody}"
    );
    nobody.expect(6);
}
