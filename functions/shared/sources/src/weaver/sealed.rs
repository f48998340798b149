//! Texts that only the server can read: RSA with PKCS #1 v1.5, as its API expects it.

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text, encrypted with the public key `spk` (an X.509 `SubjectPublicKeyInfo` in base64), in
/// base64; `None` if that is no such key, or the text is longer than it can encrypt.
pub(super) fn sealed(spk: &str, text: &str) -> Option<String> {
    let key = PublicEncryptingKey::from_der(&STANDARD.decode(spk.trim()).ok()?).ok()?;
    let key = Pkcs1PublicEncryptingKey::new(key).ok()?;
    let mut room = vec![0; key.ciphertext_size()];
    let sealed = key.encrypt(text.as_bytes(), &mut room).ok()?;
    Some(STANDARD.encode(&*sealed))
}
