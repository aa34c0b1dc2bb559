"""Dashboards and alerts: one list of each, from which the files for Grafana and Prometheus and their pages are made."""
