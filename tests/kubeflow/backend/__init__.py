"""KFP's own argo compiler, driver and launcher, run without a cluster."""
