//! The kinds of objects that pipelines own, listed once.
//!
//! What is planned, watched, observed, applied and deleted are columns of one table, [`OwnedKinds`], and each step goes through all of
//! its rows: a kind that is applied and never deleted, or never watched, can't be written down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of Kubernetes' own that lives in namespaces.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Objects of one kind, by name.
pub type ByName<K> = BTreeMap<String, Arc<K>>;

/// What the table holds for each kind.
pub trait Column {
    /// The column's entry for one kind.
    type Of<K: Kind>: Clone + Debug + Default;
}

/// An empty column, from which columns that need only their kinds are made.
#[derive(Clone, Copy, Debug)]
pub enum Blank {}

impl Column for Blank {
    type Of<K: Kind> = ();
}

/// Objects that should be there, in the order in which they are applied.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {}

impl Column for Wanted {
    type Of<K: Kind> = Vec<K>;
}

/// Objects that are there.
#[derive(Clone, Copy, Debug)]
pub enum Live {}

impl Column for Live {
    type Of<K: Kind> = ByName<K>;
}

/// Names of objects that are kept although they are no longer wanted.
#[derive(Clone, Copy, Debug)]
pub enum KeptNames {}

impl Column for KeptNames {
    type Of<K: Kind> = BTreeSet<String>;
}

/// Makes one column from another, kind by kind.
pub trait Map<From: Column, To: Column> {
    /// What is in the new column for this kind.
    fn map<K: Kind>(&mut self, of: &From::Of<K>) -> To::Of<K>;
}

/// All that a pass knows of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, K> {
    /// What should be there.
    pub wanted: &'a [K],
    /// What is there.
    pub live: &'a ByName<K>,
    /// What is kept although it is no longer wanted.
    pub kept: &'a BTreeSet<String>,
}

/// A visitor of the table's rows.
pub trait Visit<'a> {
    /// The result for one row.
    type Output;

    /// Handles one row.
    fn visit<K: Kind>(&self, row: Row<'a, K>) -> Self::Output;
}

macro_rules! owned_kinds {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// One column of the table of kinds, in the order in which kinds are applied; they are deleted the other way round.
        pub struct OwnedKinds<C: Column> {
            $($(#[$doc])* pub $field: C::Of<$kind>,)*
        }

        impl<C: Column> OwnedKinds<C> {
            /// Makes another column from this one.
            pub fn map<D: Column>(&self, map: &mut impl Map<C, D>) -> OwnedKinds<D> {
                OwnedKinds { $($field: map.map::<$kind>(&self.$field),)* }
            }
        }

        impl<C: Column> Clone for OwnedKinds<C> {
            fn clone(&self) -> Self {
                Self { $($field: self.$field.clone(),)* }
            }
        }

        impl<C: Column> Default for OwnedKinds<C> {
            fn default() -> Self {
                Self { $($field: Default::default(),)* }
            }
        }

        impl<C: Column> Debug for OwnedKinds<C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("OwnedKinds")$(.field(stringify!($field), &self.$field))*.finish()
            }
        }

        /// Visits each row of the table, from the first kind to the last.
        pub fn each_row<'a, V: Visit<'a>>(
            wanted: &'a OwnedKinds<Wanted>,
            live: &'a OwnedKinds<Live>,
            kept: &'a OwnedKinds<KeptNames>,
            visit: &V,
        ) -> Vec<V::Output> {
            vec![$(visit.visit::<$kind>(Row {
                wanted: &wanted.$field,
                live: &live.$field,
                kept: &kept.$field,
            }),)*]
        }
    };
}

owned_kinds! {
    /// Service accounts.
    accounts: ServiceAccount,
    /// Roles.
    roles: Role,
    /// Bindings of roles.
    bindings: RoleBinding,
    /// ConfigMaps: before the pods that mount them.
    configs: ConfigMap,
    /// Services.
    services: Service,
    /// Network policies.
    policies: NetworkPolicy,
    /// Deployments.
    deployments: Deployment,
    /// Disruption budgets.
    budgets: PodDisruptionBudget,
    /// Autoscalers.
    autoscalers: HorizontalPodAutoscaler,
}
