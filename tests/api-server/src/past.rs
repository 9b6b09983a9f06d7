//! The past: answers that a client gets once more, as from an API server that lags behind.

use std::collections::HashMap;

use bytes::Bytes;

use crate::traffic::Request;

/// What was answered, by path; and what is answered so again.
#[derive(Default)]
pub(crate) struct Past {
    answers: HashMap<String, Bytes>,
    again: HashMap<String, Bytes>,
}

impl Past {
    /// Remembers the answer to a list.
    pub(crate) fn remember(&mut self, request: &Request, body: &Bytes) {
        if request.is_list() {
            self.answers.insert(request.path.clone(), body.clone());
        }
    }

    /// From now on each list that `matches` is answered once as it was last.
    pub(crate) fn relive(&mut self, matches: impl Fn(&str) -> bool) {
        let chosen = self.answers.iter().filter(|(path, _)| matches(path));
        self.again = chosen.map(|(path, body)| (path.clone(), body.clone())).collect();
    }

    /// The answer of the past, if this request gets it.
    pub(crate) fn answer(&mut self, request: &Request) -> Option<Bytes> {
        self.again.remove(&request.path).filter(|_| request.is_list())
    }
}
