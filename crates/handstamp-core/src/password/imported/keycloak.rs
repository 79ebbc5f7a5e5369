//! The credentials of Keycloak's export: PBKDF2 and Argon2, with their parameters in JSON.

use serde_json::Value;

use super::cost::Pbkdf2Digest;
use super::encoding::{base64, number, to_base64};
use super::pbkdf2::Pbkdf2Hash;
use super::{ImportedHash, UnsupportedHash};

pub(super) fn parse(secret_data: &str, credential_data: &str) -> Result<ImportedHash, UnsupportedHash> {
    let (secret, credential) = (object(secret_data)?, object(credential_data)?);
    let iterations = credential["hashIterations"].as_u64().ok_or(UnsupportedHash::Malformed)?;
    let iterations = u32::try_from(iterations).map_err(|_| UnsupportedHash::CostTooHigh)?;
    let (salt, output) = (base64(text(&secret["salt"])?)?, base64(text(&secret["value"])?)?);
    let digest = match text(&credential["algorithm"])? {
        "pbkdf2" => Pbkdf2Digest::Sha1,
        "pbkdf2-sha256" => Pbkdf2Digest::Sha256,
        "pbkdf2-sha512" => Pbkdf2Digest::Sha512,
        "argon2" => return argon2(&credential["additionalParameters"], iterations, &salt, &output),
        _ => return Err(UnsupportedHash::UnknownFormat),
    };
    ImportedHash::from_pbkdf2(Pbkdf2Hash::new(digest, iterations, salt, output)?)
}

/// Argon2 as a PHC string, which has the same parameters.
fn argon2(parameters: &Value, passes: u32, salt: &[u8], output: &[u8]) -> Result<ImportedHash, UnsupportedHash> {
    let parameter = |name: &str| text(&parameters[name][0]);
    let algorithm = match parameter("type")? {
        algorithm @ ("d" | "i" | "id") => algorithm,
        _ => return Err(UnsupportedHash::UnsupportedParameters),
    };
    let version = match parameter("version")? {
        "1.0" => 16,
        "1.3" => 19,
        _ => return Err(UnsupportedHash::UnsupportedParameters),
    };
    let (memory_kib, lanes) = (number(parameter("memory")?)?, number(parameter("parallelism")?)?);
    let (salt, output) = (to_base64(salt), to_base64(output));
    ImportedHash::parse(&format!("$argon2{algorithm}$v={version}$m={memory_kib},t={passes},p={lanes}${salt}${output}"))
}

fn object(json: &str) -> Result<Value, UnsupportedHash> {
    if json.len() > 2 * ImportedHash::MAX_LENGTH {
        return Err(UnsupportedHash::Malformed);
    }
    serde_json::from_str(json).map_err(|_| UnsupportedHash::Malformed)
}

fn text(value: &Value) -> Result<&str, UnsupportedHash> {
    value.as_str().ok_or(UnsupportedHash::Malformed)
}
