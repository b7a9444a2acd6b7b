//! The daemon from outside: its replies beside clamd's, hostile peers, reloads, rights, signals.

mod crowd;
mod events;
mod hostile;
mod lab;
mod life;
mod replies;
mod rights;
