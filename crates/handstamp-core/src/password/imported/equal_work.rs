//! A check of a password against an imported hash, which costs as much for every account and for none.

use super::cost::HashFamily;
use super::costs::HashCosts;
use super::{ImportSecrets, ImportedHash, bcrypt, pbkdf2, sha_crypt};
use crate::HashMemory;
use crate::password::Password;

/// The costs and the secrets of the imported hashes of a site, which a password check needs.
#[derive(Clone, Debug, Default)]
pub struct ImportedPasswords {
    /// The costs that occur among the users.
    pub costs: HashCosts,
    /// The secrets by which the former system hashed passwords.
    pub secrets: ImportSecrets,
}

impl ImportedPasswords {
    /// Verifies `password` against `hash`. For each family of the costs, the work is that of the highest cost, whether the hash is
    /// of this family, of another one, or missing. A hash above these costs was imported a moment ago.
    ///
    /// The text as it was typed and its NFC are two checks where they differ, since other systems hash what is typed.
    pub(in crate::password) fn verify(
        &self,
        hash: Option<&ImportedHash>,
        password: &Password,
        memory: &mut HashMemory,
    ) -> bool {
        let mut matches = false;
        for spelling in password.spellings() {
            for cost in self.costs.iter() {
                let (family, mut done) = (cost.family, cost.level);
                match hash.filter(|hash| hash.cost().family == family) {
                    Some(hash) => {
                        done = hash.cost().level;
                        matches |= hash.scheme.verify(spelling, &self.secrets, memory);
                    }
                    None => family.run_decoy(cost.level, spelling.as_bytes(), memory),
                }
                family.top_up(cost.level, done, spelling.as_bytes(), memory);
            }
            let is_new = |hash: &&ImportedHash| self.costs.iter().all(|cost| cost.family != hash.cost().family);
            if let Some(hash) = hash.filter(is_new) {
                matches |= hash.scheme.verify(spelling, &self.secrets, memory);
            }
        }
        matches
    }
}

impl HashFamily {
    /// Computes a hash of this level that belongs to no account.
    fn run_decoy(self, level: u32, password: &[u8], memory: &mut HashMemory) {
        match self {
            Self::Argon2(family) => family.run_decoy(password, memory),
            Self::Bcrypt => bcrypt::run_decoy(level, password, memory),
            Self::Pbkdf2(digest) => pbkdf2::run_decoy(digest, level, password, memory),
            Self::Scrypt(family) => family.run_decoy(password, memory),
            Self::ShaCrypt { digest, salt_length } => {
                sha_crypt::run_decoy(digest, level, salt_length, password, memory);
            }
            Self::Yescrypt(family) => family.run_decoy(password, memory),
        }
    }

    /// Does the work by which a hash of the level `highest` exceeds one of the level `done`. It calls the function even if
    /// nothing is left, so that the number of calls is the same for every account. The memory-hard functions have no
    /// cheaper hash in their family.
    fn top_up(self, highest: u32, done: u32, password: &[u8], memory: &mut HashMemory) {
        let rest = self.work(highest).saturating_sub(self.work(done));
        match self {
            Self::Bcrypt => bcrypt::top_up(rest, password, memory),
            Self::Pbkdf2(digest) => pbkdf2::top_up(digest, rest, password, memory),
            Self::ShaCrypt { digest, salt_length } => sha_crypt::top_up(digest, rest, salt_length, password, memory),
            Self::Argon2(_) | Self::Scrypt(_) | Self::Yescrypt(_) => {}
        }
    }
}
