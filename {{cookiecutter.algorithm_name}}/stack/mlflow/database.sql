-- Template: a database and a user for MLflow alone, which reads no predictions. PostgreSQL runs this on a new volume.
\getenv password MLFLOW_PASSWORD
CREATE USER mlflow PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE predictions FROM PUBLIC;
