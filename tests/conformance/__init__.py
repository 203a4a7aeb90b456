"""The routes of the Gateway API's conformance suite, said in our policies and made anew by our pipeline."""
