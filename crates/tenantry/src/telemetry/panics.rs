//! A panic as one line of the log, without what it said: a message made of data would show it.

use std::panic::{self, PanicHookInfo};

/// From now on panics are logged.
pub fn log() {
    panic::set_hook(Box::new(tell));
}

fn tell(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let thread = std::thread::current();
    // A text that stands in the program as it is holds no data; one that was put together might.
    let text = info.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(
        at = place,
        thread = thread.name(),
        text,
        "the program panicked; this is a fault in it"
    );
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("unbroken").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_that_says_where_and_quotes_nothing() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let before = panic::take_hook();
        log();
        let data = String::from("ann@acme.example");
        tracing::subscriber::with_default(subscriber, || {
            let _ = panic::catch_unwind(|| panic!("no such person: {data}"));
        });
        panic::set_hook(before);
        let text = String::from_utf8(kept.0.lock().expect("unbroken").clone()).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("panics.rs:") && !text.contains("ann@"),
            "{text}"
        );
    }
}
