//! How much may pass: rate limits and concurrency limits by key, on this machine or shared over Redis.
