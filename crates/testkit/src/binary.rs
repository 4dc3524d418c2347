//! Where the program under test is.

use std::path::PathBuf;
use std::process::Command;

/// `TENANTRY_BIN`, or the one that cargo built beside this test.
pub(crate) fn path() -> PathBuf {
    if let Some(named) = std::env::var_os("TENANTRY_BIN") {
        let named = PathBuf::from(named);
        assert!(
            named.is_file(),
            "TENANTRY_BIN names no file: {}",
            named.display()
        );
        return named;
    }
    // target/debug/deps/it-0123 -> target/debug/tenantry
    let this = std::env::current_exe().expect("the path of this test");
    let beside = this
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("tenantry"))
        .filter(|path| path.is_file());
    beside.expect(
        "the program is not built: run `make test`, or `cargo build -p tenantry --features faults`",
    )
}

/// The program with none of the surroundings' settings: those of this test run (`TENANTRY_BIN`) or
/// of a person's shell would be refused as unknown, or be obeyed.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(path());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("TENANTRY_") || text.starts_with("PG") {
            command.env_remove(&name);
        }
    }
    command.env("NO_COLOR", "1");
    // Tests count databases; those about spares ask for some.
    command.env("TENANTRY_SPARES", "0");
    command
}
