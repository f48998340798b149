//! Feishu's signature and encryption.

use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use greenlight_core::Rejection;

/// Returns `lower_hex(SHA256(timestamp || nonce || encrypt_key || raw body))`: a plain hash without
/// separators, not an HMAC.
#[must_use]
pub fn signature(timestamp: &str, nonce: &str, encrypt_key: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(timestamp);
    hash.update(nonce);
    hash.update(encrypt_key);
    hash.update(body);
    hex::encode(hash.finalize())
}

/// Decrypts AES-256-CBC with PKCS#7; the key is `SHA256(encrypt_key)`, the first 16 bytes are the
/// IV.
///
/// # Errors
/// [`Rejection::NotBase64`] or [`Rejection::NotDecryptable`].
pub fn decrypt(encrypt_key: &str, encrypted: &str) -> Result<Vec<u8>, Rejection> {
    let mut bytes = STANDARD.decode(encrypted).map_err(|_| Rejection::NotBase64)?;
    let key = Sha256::digest(encrypt_key);
    let (iv, ciphertext) = bytes.split_at_mut_checked(16).ok_or(Rejection::NotDecryptable)?;
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&key, iv)
        .map_err(|_| Rejection::NotDecryptable)?;
    let length =
        cipher.decrypt_padded::<Pkcs7>(ciphertext).map_err(|_| Rejection::NotDecryptable)?.len();
    Ok(bytes[16..16 + length].to_vec())
}

/// The inverse of [`decrypt`], for tests and tools that send events as Feishu does.
#[must_use]
pub fn encrypt(encrypt_key: &str, iv: [u8; 16], plain: &[u8]) -> String {
    let key: [u8; 32] = Sha256::digest(encrypt_key).into();
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&key.into(), &iv.into());
    STANDARD.encode([&iv[..], &cipher.encrypt_padded_vec::<Pkcs7>(plain)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the platform's documentation.
    #[test]
    fn decrypts_the_documented_example() {
        let plain = decrypt("test key", "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=");
        assert_eq!(plain.as_deref(), Ok("hello world".as_bytes()));
    }

    #[test]
    fn refuses_what_is_not_encrypted_as_documented() {
        let encode = |bytes: &[u8]| STANDARD.encode(bytes);
        assert_eq!(decrypt("k", "no base64!"), Err(Rejection::NotBase64));
        assert_eq!(decrypt("k", &encode(&[0; 15])), Err(Rejection::NotDecryptable));
        assert_eq!(decrypt("k", &encode(&[0; 16])), Err(Rejection::NotDecryptable));
        assert_eq!(decrypt("k", &encode(&[0; 33])), Err(Rejection::NotDecryptable));
        assert_eq!(decrypt("k", &encode(&[0; 48])), Err(Rejection::NotDecryptable));
    }
}
