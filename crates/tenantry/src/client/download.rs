//! An answer that comes as a stream, and may be larger than what we hold.

use reqwest::{Response, Url};

use super::reach;
use crate::failure::Result;

/// A stream that is being read.
pub struct Download {
    response: Response,
    base: Url,
}

impl Download {
    pub(super) fn new(response: Response, base: Url) -> Self {
        Self { response, base }
    }

    /// What comes next; `None` at the stream's end.
    ///
    /// # Errors
    /// When the connection breaks: then the stream is not whole.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>> {
        let chunk = self.response.chunk().await;
        chunk.map_err(|error| reach::failure(&self.base, error))
    }
}
