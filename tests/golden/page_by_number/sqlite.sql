SELECT 0, c0, NULL, NULL
FROM (SELECT (SELECT count(*)
    FROM "products" AS t1
    WHERE (t1."state" = ?1
      AND (t1."released_at" IS NULL
        OR ?2 >= t1."released_at"))) AS c0 ) AS b0
UNION ALL
SELECT 1, c0, c1, c2
FROM (SELECT concat('{"name":', json_quote(t0."name"), '}') AS c0, t0."name" AS c1, t0."id" AS c2
  FROM "products" AS t0
  WHERE (t0."state" = ?3
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at"))
  ORDER BY t0."name", t0."id"
  LIMIT ?4 OFFSET ?5) AS b1
