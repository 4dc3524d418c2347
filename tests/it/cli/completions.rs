//! Each shell takes its script and completes by it.

use std::process::{Command, Stdio};

use tenantry_testkit::{Cli, program};

fn script(shell: &str) -> String {
    let made = Cli::of(program(), &["completions", shell]).expect(0);
    assert!(made.stdout.len() > 1000, "{made}");
    made.stdout
}

/// What the shell printed.
fn run(shell: &str, options: &[&str], code: &str) -> String {
    let output = Command::new(shell)
        .args(options)
        .args(["-c", code])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{shell}: {error}; run .ci/install-shells.sh"));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shell}: {told}{wrong}");
    assert_eq!(wrong.trim(), "", "{shell}");
    told
}

/// A folder with the script in it.
fn kept(shell: &str, name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, script(shell)).expect("written");
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn bash_completes_commands_flags_and_words() {
    let (_folder, path) = kept("bash", "tenantry");
    let tried = run(
        "bash",
        &["--norc"],
        &format!(
            r#"source {path}
               try() {{
                 COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
                 _tenantry tenantry "${{@: -1}}" "${{@: -2:1}}"
                 echo "${{COMPREPLY[*]}}"
               }}
               complete -p tenantry
               try tenantry ten
               try tenantry tenants unde
               try tenantry tenants list --status de
               try tenantry completions """#
        ),
    );
    let lines: Vec<_> = tried.lines().collect();
    assert!(lines[0].ends_with("-F _tenantry tenantry"), "{tried}");
    assert_eq!(lines[1..4], ["tenants", "undelete", "deleting"]);
    assert!(lines[4].ends_with("bash zsh fish"), "{tried}");
}

#[test]
fn zsh_takes_its_script() {
    let (folder, path) = kept("zsh", "_tenantry");
    let folder = folder.path().display();
    let code = format!(
        "zsh -n {path} && fpath=({folder} $fpath) && autoload -Uz compinit && compinit -u -D \
         && autoload +X _tenantry && print -r -- $_comps[tenantry]"
    );
    assert_eq!(run("zsh", &["-f"], &code).trim(), "_tenantry");
}

#[test]
fn fish_completes_commands_and_words() {
    let (_folder, path) = kept("fish", "tenantry.fish");
    let code = format!(
        "source {path}; complete -C 'tenantry ten'; complete -C 'tenantry tenants list --status de'"
    );
    let told = run("fish", &["--no-config"], &code);
    let lines = told.lines();
    let words: Vec<_> = lines.filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["tenants", "deleting"], "{told}");
}
