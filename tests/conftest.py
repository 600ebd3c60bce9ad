"""How hard properties are tried: a little in every run, thoroughly with `--hypothesis-profile=thorough`."""

from hypothesis import HealthCheck, settings

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

settings.register_profile("ci", max_examples=200, deadline=None, suppress_health_check=_SLOW_IS_FINE, derandomize=True)
settings.register_profile("thorough", max_examples=10_000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile("ci")
