"""How it is spoken: HTTP, REST and GraphQL parsed to an `Ask`, and answers rendered to bytes."""
