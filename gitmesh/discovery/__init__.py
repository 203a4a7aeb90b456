"""From Kubernetes objects to facts, and facts as a document. Pure."""
