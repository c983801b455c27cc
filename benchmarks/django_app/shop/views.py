"""The views: filters by django-filter, relations fetched eagerly, a count only where it is asked for."""

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django_filters.rest_framework import FilterSet, UUIDFilter
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.mixins import CreateModelMixin
from rest_framework.pagination import BasePagination, CursorPagination, LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ReadOnlyModelViewSet

from .models import Order, OrderItem, Product, Review
from .serializers import (
    OrderMadeSerializer,
    OrderSerializer,
    ProductSerializer,
    PurchaseSerializer,
    ReviewSerializer,
)


class ProductFilter(FilterSet):
    category = UUIDFilter(field_name="category_id")  # unlike the default, this does not look the category up

    class Meta:
        model = Product
        fields = {"price": ["gte", "lt"]}  # noqa: RUF012


class ProductCursor(CursorPagination):
    page_size = 30
    ordering = ("price", "id")


class CountedProducts(LimitOffsetPagination):
    default_limit = 30


class OrderCursor(CursorPagination):
    page_size = 20
    ordering = ("-created_at", "-id")


class ProductViewSet(ReadOnlyModelViewSet):
    queryset = Product.objects.order_by("price", "id")
    serializer_class = ProductSerializer
    filterset_class = ProductFilter

    @property
    def paginator(self) -> BasePagination:
        if not hasattr(self, "_paginator"):
            counted = self.request.query_params.get("count") == "true"
            self._paginator = CountedProducts() if counted else ProductCursor()
        return self._paginator


class OrderViewSet(ReadOnlyModelViewSet):
    queryset = Order.objects.prefetch_related(
        Prefetch("items", OrderItem.objects.select_related("product__category").order_by("id"))
    )
    serializer_class = OrderSerializer
    permission_classes = (IsAuthenticated,)
    pagination_class = OrderCursor

    def get_queryset(self) -> QuerySet[Order]:
        return super().get_queryset().filter(customer=self.request.user)


class ReviewViewSet(CreateModelMixin, GenericViewSet):
    queryset = Review.objects.all()
    serializer_class = ReviewSerializer
    permission_classes = (IsAuthenticated,)

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(author=self.request.user)


class OutOfStock(APIException):
    status_code = 409
    default_detail = "There is too little of it."


class PurchaseView(APIView):
    permission_classes = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        wanted = PurchaseSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        quantities = {line["product"]: line["quantity"] for line in wanted.validated_data["items"]}
        with transaction.atomic():
            products = list(Product.objects.select_for_update().filter(id__in=quantities).order_by("id"))
            if len(products) < len(quantities):
                raise ValidationError("Product not found")
            for product in products:
                if product.stock < quantities[product.id]:
                    raise OutOfStock
                product.stock -= quantities[product.id]
                product.save(update_fields=["stock", "updated_at"])
            costs = {product.id: product.price * quantities[product.id] for product in products}
            order = Order.objects.create(customer=request.user, status="paid", total=sum(costs.values()))
            OrderItem.objects.bulk_create(
                OrderItem(order=order, product=product, quantity=quantities[product.id], price=costs[product.id])
                for product in products
            )
        return Response(OrderMadeSerializer(order).data, status=201)
