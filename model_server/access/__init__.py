"""Who may ask: certificates, tokens, and the names under which a browser may have found us."""
