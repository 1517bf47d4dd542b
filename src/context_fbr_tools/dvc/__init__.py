"""DVC: its processes, run-cache, dvc.lock, and what the project leaves behind."""
