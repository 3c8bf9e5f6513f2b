//! The tasks of a controller. None ends unseen: what the controller needs ends the process with it, and what nothing
//! depends on starts again and is counted (rule: no-task-ends-unseen).

use super::settings::ControllerError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

/// The pauses before a task starts again: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// How often tasks were started again, by task.
pub type TaskRestarts = Family<Vec<(&'static str, &'static str)>, Counter>;

/// Tasks without any of which the controller cannot go on.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<Result<(), ControllerError>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a task that cannot fail.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, async {
            task.await;
            Ok(())
        });
    }

    /// Starts a task that may fail.
    pub fn spawn_fallible(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), ControllerError>> + Send + 'static,
    ) {
        let started = self.set.spawn(task);
        self.names.insert(started.id(), name);
    }

    /// Waits until `stop` turns true, and then for all tasks.
    ///
    /// # Errors
    /// If a task ends before `stop`, fails or panics. The others run on.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), ControllerError> {
        let outcome = self.outcome(&mut stop).await;
        self.set.detach_all();
        outcome
    }

    async fn outcome(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), ControllerError> {
        tokio::select! {
            // In this order: tasks end because of `stop`.
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            Some(ended) = self.set.join_next_with_id() => {
                let name = self.end(ended)?;
                return Err(ControllerError::Ended(name));
            }
        }
        while let Some(ended) = self.set.join_next_with_id().await {
            self.end(ended)?;
        }
        Ok(())
    }

    fn end(
        &self,
        ended: Result<(Id, Result<(), ControllerError>), JoinError>,
    ) -> Result<&'static str, ControllerError> {
        let name = |id: Id| self.names.get(&id).copied().unwrap_or_default();
        match ended {
            Ok((id, outcome)) => outcome.map(|()| name(id)),
            Err(panicked) => Err(ControllerError::Ended(name(panicked.id()))),
        }
    }
}

/// Runs a task that nothing depends on, and starts it again when it ends, until `stop` turns true.
pub async fn keep_running<T: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    restarts: TaskRestarts,
    mut stop: watch::Receiver<bool>,
    mut start: impl FnMut() -> T,
) {
    let count = restarts.get_or_create_owned(&vec![("task", name)]);
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = tokio::spawn(start()).await;
        // A dropped sender is a stop too.
        if *stop.borrow() || stop.has_changed().is_err() {
            return;
        }
        count.inc();
        let reason = ended.err().map_or("no reason".into(), |e| e.to_string());
        tracing::error!("{name} ended: {reason}; it starts again in {pause:?}");
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = LAST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    async fn waits(mut stop: watch::Receiver<bool>) {
        let _ = stop.wait_for(|stop| *stop).await;
    }

    #[tokio::test]
    async fn a_task_that_ends_or_panics_before_the_stop_is_an_error_that_names_it() {
        let (_stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::default();
        tasks.spawn("engine", waits(stopped.clone()));
        tasks.spawn("enforcer", async {});
        let error = tasks.run(stopped.clone()).await.unwrap_err().to_string();
        assert!(error.contains("enforcer"), "{error}");

        let mut tasks = Tasks::default();
        tasks.spawn("engine", waits(stopped.clone()));
        tasks.spawn("intake", async { panic!("a bug") });
        let error = tasks.run(stopped).await.unwrap_err().to_string();
        assert!(error.contains("intake"), "{error}");
    }

    #[tokio::test]
    async fn at_the_stop_all_tasks_are_waited_for() {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::default();
        tasks.spawn("engine", waits(stopped.clone()));
        tasks.spawn("intake", waits(stopped.clone()));
        stop.send(true).unwrap();
        assert!(tasks.run(stopped).await.is_ok());
    }

    #[tokio::test]
    async fn a_task_that_panics_and_that_nothing_depends_on_starts_again_and_is_counted() {
        let (stop, stopped) = watch::channel(false);
        let (restarts, starts) = (TaskRestarts::default(), Arc::new(AtomicU32::new(0)));
        let started = starts.clone();
        let stop = Arc::new(stop);
        let task = keep_running("publisher", restarts.clone(), stopped, || {
            let (number, stop) = (started.fetch_add(1, Ordering::Relaxed), stop.clone());
            async move {
                assert!(number > 0, "a bug");
                let _ = stop.send(true);
            }
        });
        tokio::time::timeout(Duration::from_secs(60), task)
            .await
            .expect("it starts again and stops");
        assert_eq!(starts.load(Ordering::Relaxed), 2);
        let count = restarts.get_or_create_owned(&vec![("task", "publisher")]);
        assert_eq!(count.get(), 1);
    }
}
