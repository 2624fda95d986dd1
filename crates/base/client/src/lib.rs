//! An HTTP client for what happens beside the traffic: keys of identity providers, token introspection, registries.
