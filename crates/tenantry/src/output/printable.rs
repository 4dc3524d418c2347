//! Text from elsewhere, so that a terminal only shows it.
//!
//! A tenant's name is chosen by a customer: an escape sequence in it could repaint the screen of the
//! operator who lists tenants, and a bidirectional override could make one name look like another.

/// One line: what would end it, steer the terminal or turn the text round is shown as an escape.
#[must_use]
pub fn harmless(text: &str) -> String {
    escaped(text, |c| c.escape_default().to_string(), |_| false)
}

/// As [`harmless`], where line ends are ours.
#[must_use]
pub fn harmless_lines(text: &str) -> String {
    escaped(text, |c| c.escape_default().to_string(), |c| c == '\n')
}

/// A JSON document that is printed. `serde_json` escapes the ASCII control characters only; the
/// others stand in strings, where `\uXXXX` means the same.
#[must_use]
pub fn harmless_json(document: &str) -> String {
    let escape = |c: char| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect()
    };
    escaped(document, escape, |c| c == '\n')
}

fn escaped(text: &str, escape: impl Fn(char) -> String, ours: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && !ours(c) {
            out.push_str(&escape(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, and what has no width of its own but changes what is shown around it. Not
/// the joiners, without which some scripts and emoji are not written right.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(
            harmless("\u{9b}31m\u{202e}x\u{7}"),
            "\\u{9b}31m\\u{202e}x\\u{7}"
        );
        assert_eq!(
            harmless("Ann \u{1f469}\u{200d}\u{1f680} Ünal"),
            "Ann \u{1f469}\u{200d}\u{1f680} Ünal"
        );
        assert_eq!(harmless_lines("a\nb\rc"), "a\nb\\rc");
    }

    #[test]
    fn json_stays_the_same_document() {
        let document = serde_json::json!({ "name": "a\u{1b}\u{9b}\u{202e}\u{e0041}ü\n" });
        let printed = harmless_json(&format!("{document:#}"));
        assert!(
            !printed.chars().any(|c| steers(c) && c != '\n'),
            "{printed}"
        );
        let read: serde_json::Value = serde_json::from_str(&printed).expect("a document");
        assert_eq!(read, document);
    }
}
