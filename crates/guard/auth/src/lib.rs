//! Who is asking: API keys, tokens, sessions, passwords.
