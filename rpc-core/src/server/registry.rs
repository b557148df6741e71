//! The services of a server, by the numbers that `Hello` gives their methods.

use std::fmt;
use std::sync::Arc;

use crate::error::{ErrorKind, RpcError};
use crate::protocol::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::service::Service;

/// All methods that a server offers.
#[derive(Default)]
pub(crate) struct Registry {
    services: Vec<Arc<dyn Service>>,
    methods: Vec<Method>,
}

/// A method and where it is found.
pub(crate) struct Method {
    pub(crate) service: Arc<dyn Service>,
    /// Its index in the trait.
    pub(crate) index: u16,
    pub(crate) descriptor: &'static MethodDescriptor,
}

impl Registry {
    pub(crate) fn add(&mut self, service: Arc<dyn Service>) {
        for (index, descriptor) in service.descriptor().methods() {
            self.methods.push(Method { service: Arc::clone(&service), index, descriptor });
        }
        self.services.push(service);
    }

    #[inline]
    pub(crate) fn method(&self, number: u16) -> Option<&Method> {
        self.methods.get(usize::from(number))
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &'static ServiceDescriptor> {
        self.services.iter().map(|service| service.descriptor())
    }

    /// Whether it can be announced.
    pub(crate) fn check(&self) -> Result<(), RpcError> {
        let mut names: Vec<&str> = self.descriptors().map(ServiceDescriptor::name).collect();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        let reason = match twice {
            Some(pair) => format!("the service {} is offered twice", pair[0]),
            None if self.methods.len() > usize::from(u16::MAX) => {
                format!("{} methods are offered, and the limit is {}", self.methods.len(), u16::MAX)
            }
            None => return Ok(()),
        };
        Err(RpcError::not_executed(ErrorKind::Codec { reason }))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.descriptors().map(ServiceDescriptor::name)).finish()
    }
}
