"""The task worker's process, the pool of them, and the messages between agent and worker."""
