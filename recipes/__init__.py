"""How the shipped models were made. These scripts are not part of the package."""
