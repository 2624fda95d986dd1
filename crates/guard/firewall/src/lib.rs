//! Who may come in: addresses, countries, networks, and rules on requests.
