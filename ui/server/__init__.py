"""The server around the pages: serving, the gate, access, the queue, uploads, jobs, memory."""
