//! Which versions of `pg_restore` and `psql` a restore may be run with.
//!
//! Older ones take what a dump hides, such as a line break in the name of a table, for commands of `psql`, which are
//! run on this machine (CVE-2025-8714, CVE-2025-8715). Since then `pg_restore` writes `\restrict` in front of its
//! script, and `psql` obeys no command of its own until the key of that line comes back.

/// The first minor versions that can be trusted, by major. What is not listed is from 18 on.
const FIRST: &[(u32, u32)] = &[(13, 22), (14, 19), (15, 14), (16, 10), (17, 6)];
/// The first major version that was never published without it.
const SINCE: u32 = 18;

/// Whether a program that says this of itself keeps a dump from giving commands. What cannot be read does not.
pub(super) fn is_safe(said: &str) -> bool {
    let Some((_, version)) = said.split_once("(PostgreSQL) ") else {
        return false;
    };
    let version = version.split_whitespace().next().unwrap_or_default();
    let digits = version.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = version.split_at(digits);
    let Ok(major) = major.parse::<u32>() else {
        return false;
    };
    match rest.strip_prefix('.') {
        Some(minor) => minor.parse::<u32>().is_ok_and(|minor| match major {
            SINCE.. => true,
            older => FIRST
                .iter()
                .any(|first| first.0 == older && minor >= first.1),
        }),
        // `18beta1` is from before; from the next one on, whatever it calls itself is from after.
        None => major > SINCE && !rest.contains('.'),
    }
}

/// The versions that are safe, for people.
pub(super) fn safe_ones() -> String {
    let listed = FIRST
        .iter()
        .map(|(major, minor)| format!("{major}.{minor}, "));
    format!("{}{SINCE}.0 or a later one", listed.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_safe_from_the_first_mended_minor_on_and_what_cannot_be_read_is_not() {
        for safe in [
            "psql (PostgreSQL) 13.22",
            "psql (PostgreSQL) 14.19",
            "psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
            "pg_restore (PostgreSQL) 15.14",
            "psql (PostgreSQL) 15.100",
            "psql (PostgreSQL) 16.10 (Homebrew)",
            "psql (PostgreSQL) 17.6",
            "psql (PostgreSQL) 18.0",
            "psql (PostgreSQL) 18.4",
            "psql (PostgreSQL) 19beta1",
            "psql (PostgreSQL) 19devel",
            "psql (PostgreSQL) 20.1",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in [
            "psql (PostgreSQL) 9.6.24",
            "psql (PostgreSQL) 12.22",
            "psql (PostgreSQL) 13.21",
            "psql (PostgreSQL) 14.18",
            "psql (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)",
            "psql (PostgreSQL) 15.2",
            "psql (PostgreSQL) 16.9",
            "psql (PostgreSQL) 17.5",
            "psql (PostgreSQL) 17rc1",
            "psql (PostgreSQL) 18beta1",
            "psql (PostgreSQL) 18rc1",
            "psql (PostgreSQL) 17",
            "psql (PostgreSQL) 17.x",
            "psql (PostgreSQL) 17.6.1",
            "psql (PostgreSQL) ",
            "psql 18.0",
            "18.0",
            "",
        ] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }
}
