//! Sign-in through other providers: OpenID Connect, and GitHub's OAuth 2.0.
//!
//! Everything here is a rule about a text that a provider or a browser has sent; the caller fetches the documents.
//! [`ProviderMetadata`] and [`KeySet`] are what a provider says of itself. [`verify_id_token`] verifies who has signed in, and
//! [`verify_logout_token`] whose sessions end.
//!
//! # Trust
//!
//! A token is believed only after its signature is verified with a key of the provider, and by an algorithm that the caller
//! allows. The token names both, but chooses neither. A user is identified by issuer and subject, never by an address: a provider
//! may let users and administrators set any address.

mod algorithm;
mod apple;
mod claims;
mod error;
pub mod github;
mod id_token;
mod issuer;
mod json;
mod jws;
mod key_set;
mod logout_token;
mod metadata;
mod pkce;
mod token_response;

pub use algorithm::SigningAlgorithm;
pub use apple::apple_name;
pub use claims::{Claims, UserinfoError, parse_userinfo};
pub use error::IdTokenError;
pub use id_token::{IdToken, IdTokenRules, verify_id_token};
pub use issuer::ExpectedIssuer;
pub use json::{DocumentError, MAX_DOCUMENT_BYTES};
pub use key_set::{KeySet, KeySetError};
pub use logout_token::{LogoutRules, LogoutToken, verify_logout_token};
pub use metadata::{MetadataError, ProviderMetadata};
pub use pkce::code_challenge;
pub use token_response::{TokenResponse, TokenResponseError, known_error_code, parse_token_response};
