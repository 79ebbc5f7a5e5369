//! yescrypt (Peslyak, "yescrypt: scalable KDF and password hashing scheme") of crypt(3), which Debian and Fedora use.

use std::fmt;

use yescrypt::{Mode, Params};

use super::UnsupportedHash;
use super::cost::{HashCost, HashFamily, YescryptFamily};
use super::encoding::{Output, crypt_base64, crypt_digit, fields};
use crate::HashMemory;

impl YescryptFamily {
    pub(super) fn run_decoy(self, password: &[u8], memory: &mut HashMemory) {
        std::hint::black_box(self.run(password, &[0; 16], memory));
    }

    fn run(self, password: &[u8], salt: &[u8], memory: &mut HashMemory) -> [u8; 32] {
        memory.imported_work.add(HashFamily::Yescrypt(self), 1);
        let mut output = [0; 32];
        let params =
            Params::new(Mode::Rw, 1 << self.log_n, self.r, 1).expect("the bounds were checked when it was made");
        yescrypt::yescrypt(password, salt, &params, &mut output).expect("the parameters are those of yescrypt");
        output
    }
}

/// A hash by yescrypt.
pub(super) struct YescryptHash {
    family: YescryptFamily,
    salt: Vec<u8>,
    output: Output,
}

impl YescryptHash {
    /// Parses what follows `$y$`. The parameters are those that crypt(3) writes: `j` for its only mode, and a digit each for
    /// N and r.
    pub(super) fn parse(text: &str) -> Result<Self, UnsupportedHash> {
        let [params, salt, output] = fields(text, '$')?;
        let params = params.strip_prefix('j').filter(|digits| digits.len() == 2 && digits.is_ascii());
        let (log_n, r) = params.ok_or(UnsupportedHash::UnsupportedParameters)?.split_at(1);
        let (log_n, r) = (crypt_digit(log_n)? + 1, crypt_digit(r)? + 1);
        // Beyond these digits a number has more than one.
        if log_n > 48 || r > 48 {
            return Err(UnsupportedHash::UnsupportedParameters);
        }
        let family = YescryptFamily::new(log_n, r)?;
        let output = Output::new(crypt_base64(output)?)?;
        let salt = crypt_base64(salt)?;
        if output.len() != 32 || salt.len() > 64 {
            return Err(UnsupportedHash::Malformed);
        }
        Ok(Self { family, salt, output })
    }

    pub(super) fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        HashCost::new(HashFamily::Yescrypt(self.family), 1)
    }

    pub(super) fn verify(&self, password: &str, memory: &mut HashMemory) -> bool {
        self.output.is(&self.family.run(password.as_bytes(), &self.salt, memory))
    }
}

impl fmt::Display for YescryptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "yescrypt, N {}, r {}", 1_u64 << self.family.log_n, self.family.r)
    }
}
