//! The doors of `holdfast.toml` beside the clamd protocol: opened together, served together.
//!
//! Promises: when one cannot be opened nothing is served, and the error says which section is wrong.

use std::io;

use crate::config::Config;
use crate::http::{Http, HttpError};
use crate::icap::{Icap, IcapError};
use crate::listen::Address;
use crate::milter::{Milter, MilterError};
use crate::service::Service;

/// Doors with their sockets open.
#[derive(Debug, Default)]
pub struct Doors {
    http: Option<Http>,
    icap: Option<Icap>,
    milter: Option<Milter>,
}

/// A door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// HTTP.
    #[error("[http]: {0}")]
    Http(#[from] HttpError),
    /// ICAP.
    #[error("[icap]: {0}")]
    Icap(#[from] IcapError),
    /// Milter.
    #[error("[milter]: {0}")]
    Milter(#[from] MilterError),
}

impl Doors {
    /// Opens what the configuration says. Needs no runtime, so that it can be done before rights are
    /// given up; socket files are given to `owner`, who removes them at the end.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn open(config: &Config, owner: Option<(u32, u32)>) -> Result<Self, DoorError> {
        Ok(Self {
            http: Http::open(&config.http, config.quarantine.vault.as_deref(), owner)?,
            icap: Icap::open(&config.icap, owner)?,
            milter: Milter::open(&config.milter, owner)?,
        })
    }

    /// Returns which door waits where.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, &Address)> {
        let http = self.http.iter().flat_map(Http::addresses).map(|at| ("http", at));
        let icap = self.icap.iter().flat_map(Icap::addresses).map(|at| ("icap", at));
        let milter = self.milter.iter().flat_map(Milter::addresses).map(|at| ("milter", at));
        http.chain(icap).chain(milter)
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses().next().is_none()
    }

    /// Serves until the service ends.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub async fn serve(self, service: Service) -> io::Result<()> {
        let (http, icap, milter) = (self.http, self.icap, self.milter);
        let (first, second, third) = (service.clone(), service.clone(), service);
        let serve_http = async {
            match http {
                Some(door) => door.serve(first).await,
                None => Ok(()),
            }
        };
        let serve_icap = async {
            match icap {
                Some(door) => door.serve(second).await,
                None => Ok(()),
            }
        };
        let serve_milter = async {
            match milter {
                Some(door) => door.serve(third).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(serve_http, serve_icap, serve_milter).map(|_| ())
    }
}
