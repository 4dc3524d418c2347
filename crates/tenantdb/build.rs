//! `migrate!` reads a folder, and cargo cannot know of a file that was added to it.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations-tenant");
    println!("cargo::rerun-if-changed=sqlx.toml");
}
