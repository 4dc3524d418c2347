//! Server-sent events (HTML Living Standard, 9.2), as far as the setup API sends them.

use reqwest::{Response, Url};

use super::reach;
use crate::failure::Result;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Where to go on after a break; may be empty.
    pub id: String,
    /// What it tells.
    pub data: String,
}

/// A stream that is being read.
pub struct Events {
    response: Response,
    base: Url,
    reader: Reader,
}

impl Events {
    pub(super) fn new(response: Response, base: Url) -> Self {
        Self {
            response,
            base,
            reader: Reader::default(),
        }
    }

    /// The next event; `None` at the stream's end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.reader.event() {
                return Ok(Some(event));
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| reach::failure(&self.base, error))? {
                Some(bytes) => self.reader.bytes.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// Bytes to events.
#[derive(Default)]
struct Reader {
    bytes: Vec<u8>,
    event: Event,
}

impl Reader {
    /// The next event that is whole. Comments and unknown fields are passed over.
    fn event(&mut self) -> Option<Event> {
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.name),
                "id" => value.clone_into(&mut self.event.id),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = ": hello\n\nevent: step\r\nid: 3\r\ndata: {\"a\":\ndata: 1}\n\nevent: end\ndata: {}\n\n";
        for size in [1, 2, 7, text.len()] {
            let mut reader = Reader::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                reader.bytes.extend_from_slice(chunk);
                while let Some(event) = reader.event() {
                    events.push((event.name, event.id, event.data));
                }
            }
            let wanted = [("step", "3", "{\"a\":\n1}"), ("end", "", "{}")]
                .map(|(name, id, data)| (name.to_owned(), id.to_owned(), data.to_owned()));
            assert_eq!(events, wanted, "{size}");
        }
    }
}
