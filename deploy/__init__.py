"""How the service is run and watched: dashboard, alert rules, and the check with a real container engine."""
