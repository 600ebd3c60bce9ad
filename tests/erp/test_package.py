"""What importing the library costs and drags in."""

import subprocess
import sys


def test_importing_erp_loads_no_drawing_no_orchestration_and_no_model_library() -> None:
    heavy = ["plotly", "matplotlib", "torch", "dagster", "duckdb", "erp_resources", "erp_assets"]
    code = f"import sys, erp; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_figures_load_no_other_package_of_the_project() -> None:
    foreign = ["torch", "dagster", "duckdb", "erp_resources", "erp_assets"]
    code = f"import sys, erp.figures; print([name for name in {foreign} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
