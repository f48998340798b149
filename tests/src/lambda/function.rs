//! A function and its process, as Lambda manages them.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::RuntimeApi;
use crate::{built, log_file};

/// A function. An invocation starts its process if none runs; the process is ended at its timeout,
/// and may be killed at any moment.
#[derive(Debug)]
pub struct Function {
    name: &'static str,
    environment: HashMap<&'static str, String>,
    running: Option<Running>,
    kill: Kill,
    logs: Vec<PathBuf>,
}

#[derive(Debug)]
struct Running {
    api: RuntimeApi,
    process: Child,
}

/// Kills a function's process during an invocation.
#[derive(Clone, Debug, Default)]
pub struct Kill {
    wanted: Arc<Notify>,
    done: Arc<Mutex<Vec<Instant>>>,
}

impl Kill {
    /// Kills the process now, or as soon as the next invocation starts.
    pub fn now(&self) {
        self.wanted.notify_one();
    }

    /// The moments of all kills.
    #[must_use]
    pub fn done(&self) -> Vec<Instant> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of kills.
    #[must_use]
    pub fn count(&self) -> usize {
        self.done().len()
    }
}

impl Function {
    /// The function whose program is `name`.
    #[must_use]
    pub fn new(name: &'static str, environment: HashMap<&'static str, String>) -> Self {
        Self { name, environment, running: None, kill: Kill::default(), logs: Vec::new() }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.insert(name, value.to_owned());
        self
    }

    /// The handle that kills its process.
    #[must_use]
    pub fn kill(&self) -> Kill {
        self.kill.clone()
    }

    /// Invokes the function and returns its answer; `None` if its process ended before.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub async fn invoke(&mut self, event: Value, within: Duration) -> Option<Value> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start().await,
        };
        let Running { api, process } = &mut running;
        let mut is_killed = false;
        let answer = tokio::select! {
            answer = timeout(within, api.invoke_within(event, within)) => answer.ok(),
            _ = process.wait() => None,
            () = self.kill.wanted.notified() => {
                is_killed = true;
                None
            }
        };
        if answer.is_some() {
            self.running = Some(running);
            return answer;
        }
        let _ = process.kill().await;
        if is_killed {
            let mut done = self.kill.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push(Instant::now());
        }
        None
    }

    /// Returns the output of its processes, oldest first.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn printed(&self) -> String {
        let read = |path| std::fs::read_to_string(path).expect("a log can be read");
        self.logs.iter().map(read).collect()
    }

    async fn start(&mut self) -> Running {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let api = RuntimeApi::start().await;
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let log = log_file(&format!("{}-{}-{number}", self.name, std::process::id()));
        self.logs.push(log.clone());
        let log = File::create(log).expect("a log can be written");
        let process = Command::new(built(self.name))
            .env_clear()
            .envs(api.environment())
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the function starts");
        Running { api, process }
    }
}
