//! The signature and the encryption of callbacks that WeCom and DingTalk have in common: the
//! documentation of WeCom, "加解密方案说明" (developer.work.weixin.qq.com, path 90968).

use std::time::Duration;

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aws_lc_rs::digest;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use greenlight_core::{Rejection, Timestamp};
use subtle::ConstantTimeEq;

use crate::kind::UsableValues;
use crate::signed_at::check_age;

/// The length of an EncodingAESKey, in characters.
const AES_KEY_CHARS: usize = 43;

/// The length of the random bytes before a message.
const RANDOM_BYTES: usize = 16;

/// The padding fills blocks of this length, and not of the cipher's 16.
const PADDED_BYTES: usize = 32;

/// Reads an EncodingAESKey: most have bits in the last character that belong to no byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials of a callback.
#[derive(Clone, Copy)]
pub(crate) struct CallbackCipher<'a> {
    token: &'a str,
    key: [u8; 32],
    receive_id: &'a str,
}

/// What a callback carries beside its encrypted message, from its query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) signature: &'a str,
    /// Seconds or milliseconds since the Unix epoch.
    pub(crate) timestamp: &'a str,
    pub(crate) nonce: &'a str,
}

/// The name of the EncodingAESKey in the secret: 43 characters.
pub(crate) const ENCODING_AES_KEY: &str = "encoding_aes_key";

/// Whether a value can be used as the credential `name`.
pub(crate) fn check_usable(name: &str, value: &str) -> Result<(), UsableValues> {
    if name == ENCODING_AES_KEY && aes_key(value).is_none() {
        return Err(UsableValues::EncodingAesKey);
    }
    Ok(())
}

fn aes_key(key: &str) -> Option<[u8; 32]> {
    let key = key.trim();
    if key.len() != AES_KEY_CHARS {
        return None;
    }
    LENIENT.decode(key).ok()?.try_into().ok()
}

impl<'a> CallbackCipher<'a> {
    /// `receive_id` is appended to each message: the CorpId (WeCom), or the AppKey or CorpId
    /// (DingTalk). `None` if `encoding_aes_key` is not 43 characters of base64.
    pub(crate) fn new(token: &'a str, encoding_aes_key: &str, receive_id: &'a str) -> Option<Self> {
        Some(Self { token, key: aes_key(encoding_aes_key)?, receive_id })
    }

    /// The message of a callback: verifies signature and age, decrypts, and checks the receive id.
    pub(crate) fn open(
        &self,
        signed: Signed<'_>,
        encrypted: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<Vec<u8>, Rejection> {
        let expected = self.signature(signed.timestamp, signed.nonce, encrypted);
        if !bool::from(expected.as_bytes().ct_eq(signed.signature.as_bytes())) {
            return Err(Rejection::WrongSignature);
        }
        check_age(signed.timestamp, now, window)?;
        self.decrypt(encrypted)
    }

    /// `lower_hex(SHA1(sorted(token, timestamp, nonce, encrypted)))`
    pub(crate) fn signature(&self, timestamp: &str, nonce: &str, encrypted: &str) -> String {
        let mut parts = [self.token, timestamp, nonce, encrypted];
        parts.sort_unstable();
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
        hex::encode(hash)
    }

    /// 16 random bytes, the length of the message, the message, the receive id: AES-256-CBC, whose
    /// IV is the beginning of the key.
    fn decrypt(&self, encrypted: &str) -> Result<Vec<u8>, Rejection> {
        let not_decryptable = || Rejection::NotDecryptable;
        let mut bytes = STANDARD.decode(encrypted).map_err(|_| not_decryptable())?;
        let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&self.key, &self.key[..16])
            .map_err(|_| not_decryptable())?;
        let plain =
            cipher.decrypt_padded::<NoPadding>(&mut bytes).map_err(|_| not_decryptable())?;
        let padding = usize::from(*plain.last().ok_or_else(not_decryptable)?);
        let content = plain.len().checked_sub(padding).filter(|_| padding <= PADDED_BYTES);
        let content = content.filter(|_| padding > 0).and_then(|content| plain.get(..content));
        let (_, rest) =
            content.and_then(|it| it.split_at_checked(RANDOM_BYTES)).ok_or_else(not_decryptable)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(not_decryptable)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (message, receive_id) = rest.split_at_checked(length).ok_or_else(not_decryptable)?;
        if receive_id != self.receive_id.as_bytes() {
            return Err(Rejection::WrongApp);
        }
        Ok(message.to_vec())
    }

    /// Encrypts a reply or a test event; the inverse of `decrypt`.
    pub(crate) fn encrypt(&self, random: [u8; RANDOM_BYTES], message: &[u8]) -> String {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut plain = [&random[..], &length, message, self.receive_id.as_bytes()].concat();
        let padding = PADDED_BYTES - plain.len() % PADDED_BYTES;
        // At most 32.
        plain.resize(plain.len() + padding, u8::try_from(padding).unwrap_or_default());
        let mut iv = [0; 16];
        iv.copy_from_slice(&self.key[..16]);
        let cipher = cbc::Encryptor::<aes::Aes256>::new(&self.key.into(), &iv.into());
        STANDARD.encode(cipher.encrypt_padded_vec::<NoPadding>(&plain))
    }
}
