//! `greenlight secrets set`: the credentials, asked for without echo, into Secrets Manager or a file.

use std::io;

use greenlight_core::ports::FetchSecret;
use greenlight_core::secret::{Secret, SecretError};
use greenlight_stores::SecretFile;
use greenlight_stores::aws::SecretsManager;
use serde_json::{Map, Value};
use thiserror::Error;

/// What the app's page in the Feishu console shows.
const FEISHU: [&str; 4] = ["app_id", "app_secret", "encrypt_key", "verification_token"];

/// Where the secret is kept.
#[derive(Clone, Debug)]
pub enum Secrets {
    /// A file.
    File(SecretFile),
    /// Secrets Manager.
    Manager(SecretsManager),
}

impl FetchSecret for Secrets {
    async fn fetch(&self) -> Result<String, SecretError> {
        match self {
            Self::File(file) => file.fetch().await,
            Self::Manager(manager) => manager.fetch().await,
        }
    }
}

/// The secret cannot be set.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// It cannot be read or written, or is not complete.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What is there is no JSON: whoever wrote it must look.
    #[error(
        "the secret that is there is no JSON, and is left alone: mend it, or move it away (密钥不是 JSON): {0}"
    )]
    NotJson(serde_json::Error),
    /// Nothing was answered, and nothing was there.
    #[error("{0} is needed: nothing is written (缺少必填项)")]
    Missing(String),
    /// Nobody answers.
    #[error("the answer cannot be read: {0}")]
    Ask(#[from] io::Error),
}

impl Secrets {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`SecretError`] names what is missing in it.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        Secret::parse(&self.fetch().await?)
    }

    async fn put(&self, document: &str) -> Result<(), SecretError> {
        match self {
            Self::File(file) => file.put(document),
            Self::Manager(manager) => manager.put(document).await,
        }
    }
}

/// A field of the secret, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it stands: `feishu.app_secret`, `targets.nac.token`.
    pub path: String,
    /// Whether there is a value, which stays when the answer is empty.
    pub is_set: bool,
}

/// Asks for every field that Feishu and the flows need, and puts the secret in. An empty answer leaves a value as it
/// is; what nobody asks for stays.
///
/// # Errors
/// [`SecretsError`]; nothing is put in then.
pub async fn set(
    secrets: &Secrets,
    needed: &[(String, String)],
    mut ask: impl FnMut(&Field) -> io::Result<String>,
) -> Result<String, SecretsError> {
    let document = match secrets.fetch().await {
        Err(SecretError::Absent(_)) => String::from("{}"),
        // What cannot be read now must not be written over.
        document => document?,
    };
    let mut document: Value = serde_json::from_str(&document).map_err(SecretsError::NotJson)?;
    let of_feishu = FEISHU.map(|field| ("feishu".to_owned(), None, field.to_owned()));
    let of_targets = needed
        .iter()
        .map(|(target, key)| ("targets".to_owned(), Some(target.clone()), key.clone()));
    for (part, target, key) in of_feishu.into_iter().chain(of_targets) {
        let path = [Some(&part), target.as_ref(), Some(&key)];
        let path = path.into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        let pointer = format!("/{}", path.join("/"));
        let value = document.pointer(&pointer).and_then(Value::as_str);
        let is_set = value.is_some_and(|value| !value.is_empty());
        let answer = ask(&Field { path: path.join("."), is_set })?;
        if !answer.is_empty() {
            *place(&mut document, &path) = Value::String(answer);
        } else if !is_set {
            return Err(SecretsError::Missing(path.join(".")));
        }
    }
    let document = document.to_string();
    Secret::parse(&document)?;
    secrets.put(&document).await?;
    Ok("the secret is set; greenlight reads it again when a signature or a login fails (已更新)\n"
        .to_owned())
}

/// The place of a value, which is made if need be.
fn place<'a>(document: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(document, |value, part| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[*part]
    })
}
