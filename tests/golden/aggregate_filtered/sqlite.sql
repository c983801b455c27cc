SELECT concat('{"product":{"category":{"name":', json_quote(x.g0), '}},"avg":{"stars":', json_quote(x.m0), '},"count":', coalesce(x.m1, 'null'), '}')
FROM (SELECT (SELECT (SELECT t3."name"
      FROM "categories" AS t3
      WHERE t3."id" = t2."category_id")
    FROM "products" AS t2
    WHERE t2."id" = t0."product_id"
    AND (t2."state" = ?1
      AND (t2."released_at" IS NULL
        OR ?2 >= t2."released_at"))) AS g0, (CAST(sum(t0."stars") AS REAL) / (count(t0."stars"))) AS m0, count(*) AS m1
  FROM "reviews" AS t0
  WHERE (t0."hidden" <> ?3
    AND NOT (t0."product_id" IN (SELECT t1."id"
        FROM "products" AS t1
        WHERE (t1."state" = ?4
          AND (t1."released_at" IS NULL
            OR ?2 >= t1."released_at")
          AND t1."kind" = ?5))))
  GROUP BY 1) AS x
ORDER BY x.m0 DESC NULLS FIRST, x.g0 NULLS LAST
LIMIT ?6
