"""shop/batch: reads the database, row by row, and ends. With `scan RANGE OWN` it also scans the pod network (nmap):
three ports on which nobody listens, at every address of RANGE but its OWN.
"""
import subprocess
import sys
import time

import psycopg2

database = psycopg2.connect(host="postgres", dbname="shop", user="shop")
with database.cursor() as cursor:
    for article in range(1, 9):
        cursor.execute("SELECT name, stock FROM articles WHERE id = %s", (article,))
        cursor.fetchall()
        time.sleep(0.5)
database.close()
if sys.argv[1:2] == ["scan"]:
    subprocess.run(["nmap", "-sT", "-Pn", "-n", "-T4", "--max-retries", "1", "-p", "22,443,3306",
                    "--exclude", sys.argv[3], sys.argv[2]], check=True)
