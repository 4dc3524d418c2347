//! A DNS server that answers what a test tells it to: TXT records, nothing, or that it cannot say.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

/// What there is at a name.
#[derive(Clone, Debug)]
enum Zone {
    Texts(Vec<String>),
    Broken,
}

/// The records, by name in lower case without a final dot.
type Names = Arc<Mutex<BTreeMap<String, Zone>>>;

/// A DNS server on loopback. Its thread ends with the test process.
#[derive(Clone, Debug)]
pub struct Dns {
    address: SocketAddr,
    names: Names,
}

impl Dns {
    /// Starts one that knows nothing yet: every name does not exist.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("its address");
        let names = Names::default();
        let known = Arc::clone(&names);
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..length], &known) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, names }
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// These are the TXT records at a name from now on; none: there is no such name.
    pub fn set_txt(&self, name: &str, values: &[&str]) {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        match values.is_empty() {
            true => self.lock().remove(&name.to_ascii_lowercase()),
            false => self.set(name, Zone::Texts(values)),
        };
    }

    /// Sets the record that an answer of the setup API asks for.
    pub fn set_record(&self, domain: &serde_json::Value) {
        let (name, value) = record(domain);
        self.set_txt(&name, &[&value]);
    }

    /// From now on the servers of a name fail.
    pub fn break_at(&self, name: &str) {
        self.set(name, Zone::Broken);
    }

    fn set(&self, name: &str, zone: Zone) -> Option<Zone> {
        self.lock().insert(name.to_ascii_lowercase(), zone)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Zone>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and value of the record that a domain's view tells.
///
/// # Panics
/// When it tells none.
#[must_use]
pub fn record(domain: &serde_json::Value) -> (String, String) {
    let text = |field: &str| {
        let text = domain["record"][field].as_str();
        text.unwrap_or_else(|| panic!("no record in {domain}"))
            .to_owned()
    };
    assert_eq!(text("type"), "TXT");
    (text("name"), text("value"))
}

const HEADER: usize = 12;
const TXT: [u8; 4] = [0, 16, 0, 1];

/// RFC 1035, 4.1. None for what is no question.
fn answer(query: &[u8], names: &Names) -> Option<Vec<u8>> {
    let mut at = HEADER;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let asks_for = query.get(at..at + 4)?;
    let zone = names
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&labels.join("."))
        .cloned();
    let (code, texts) = match zone {
        None => (3, Vec::new()),
        Some(Zone::Broken) => (2, Vec::new()),
        Some(Zone::Texts(texts)) if asks_for == TXT => (0, texts),
        Some(Zone::Texts(_)) => (0, Vec::new()),
    };
    let mut answer = Vec::new();
    answer.extend_from_slice(&query[..2]);
    // An answer, recursion asked for and given.
    answer.extend_from_slice(&[0x81, 0x80 | code, 0, 1]);
    answer.extend_from_slice(&u16::try_from(texts.len()).ok()?.to_be_bytes());
    answer.extend_from_slice(&[0, 0, 0, 0]);
    // The question as it was asked, in its own mixture of case.
    answer.extend_from_slice(query.get(HEADER..at + 4)?);
    for text in texts {
        let mut data = Vec::new();
        for piece in text.as_bytes().chunks(255) {
            data.push(u8::try_from(piece.len()).ok()?);
            data.extend_from_slice(piece);
        }
        // A pointer to the question's name, the type, a time to live of zero.
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&TXT);
        answer.extend_from_slice(&[0; 4]);
        answer.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend_from_slice(&data);
    }
    Some(answer)
}
