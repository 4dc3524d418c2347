//! One event, one line: whoever can get a text into a log must not be able to write a line of their
//! own with it, nor to steer the terminal that shows it.

use std::borrow::Cow;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Writes each event with its control characters escaped, but for the end of its line and, where the
/// formatter colours, its colours. (The formatter leaves values that are shown by `Display` as they
/// are, so that one of them can be coloured; nothing else.)
pub struct OneLine<M> {
    inner: M,
    colours: bool,
}

/// Gets one whole event per call.
pub struct Line<W> {
    inner: W,
    colours: bool,
}

impl<M> OneLine<M> {
    pub fn new(inner: M, colours: bool) -> Self {
        Self { inner, colours }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            inner: self.inner.make_writer(),
            colours: self.colours,
        }
    }
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = escaped(&text, self.colours);
        self.inner.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn escaped(text: &str, colours: bool) -> Cow<'_, str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let is_good = |at: usize, c: char| match c {
        '\x1b' => colours && is_colour(&body[at + 1..]),
        // Some viewers take these two for the end of a line.
        '\u{2028}' | '\u{2029}' => false,
        // And these turn the text that follows around.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    if body.char_indices().all(|(at, c)| is_good(at, c)) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for (at, c) in body.char_indices() {
        if is_good(at, c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
    }
    line.push('\n');
    Cow::Owned(line)
}

/// Whether what follows an escape sets a colour: `[`, numbers, `m` (ECMA-48, 8.3.117).
fn is_colour(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('[') else {
        return false;
    };
    let end = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
    end.starts_with('m')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unbroken").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(colours: bool, value: &str) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(colours)
            .with_writer(OneLine::new(move || writer.clone(), colours))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", shown = %value, quoted = value);
            let _entered = span.enter();
            tracing::info!(shown = %value, quoted = value, "looked at {value}");
        });
        let bytes = kept.0.lock().expect("unbroken").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_value_can_neither_make_a_line_nor_steer_a_terminal() {
        let value = "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{2028}y";
        for colours in [false, true] {
            let line = logged(colours, value);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            for bad in ["\r", "\u{1b}[2J", "\u{9b}", "\u{2028}"] {
                assert!(!line.contains(bad), "{line:?}");
            }
            assert!(line.contains("forged") && line.ends_with("\n"));
        }
        assert!(!logged(false, value).contains('\u{1b}'));
        assert!(logged(true, "x").contains('\u{1b}'), "colours");
    }
}
